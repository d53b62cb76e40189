use std::collections::HashSet;

use serde_json::json;

use super::answers::{THROTTLED, TRIES_OF_500};
use super::*;
use crate::actuator::execute::budgets::Budget;
use crate::actuator::execute::budgets::object::BudgetObject;
use crate::actuator::execute::eviction::Version;
use crate::actuator::execute::eviction::answer::{Answer, Answered};
use crate::actuator::execute::pods::Phase;
use crate::actuator::execute::pods::testing::pod;

fn named(name: &str) -> Pod {
    pod(&json!({"metadata": {"name": name, "uid": name}}))
}

fn ending(name: &str) -> Pod {
    let metadata = json!({
        "name": name, "uid": name, "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30,
    });
    pod(&json!({"metadata": metadata}))
}

fn moves(names: &[&str], now: Instant) -> Moves {
    let mut moves = Moves::new(10);
    for name in names {
        moves.add(named(name), Group::Ordinary, now);
    }
    moves
}

/// A budget over all pods that needs two.
fn budget(allowed: i64) -> Budget {
    budget_named("web", allowed)
}

fn budget_named(name: &str, allowed: i64) -> Budget {
    let object = json!({
        "metadata": {"namespace": "shop", "name": name, "generation": 1},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "desiredHealthy": 2,
            "currentHealthy": 2 + allowed, "expectedPods": 3},
    });
    let text = object.to_string();
    serde_json::from_str::<BudgetObject<'_>>(&text)
        .unwrap()
        .facts(Version::V1)
}

fn answered(answer: Answer) -> Answered {
    Answered {
        answer,
        retry_after: None,
        status: None,
        text: "text".to_owned(),
    }
}

fn exhausted() -> Answered {
    answered(Answer::Budget(Block::read(
        "The disruption budget web needs 2 healthy pods and has 2 currently",
    )))
}

fn evict(index: usize, again: bool) -> Next {
    Next::Evict { index, again }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn outcome(moves: &Moves, index: usize, now: Instant) -> String {
    moves.all()[index].details(now)["outcome"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn so_many_at_once_and_then_one_for_each_that_is_gone() {
    let now = Instant::now();
    let mut moves = Moves::new(2);
    for name in ["a", "b", "c"] {
        moves.add(named(name), Group::Ordinary, now);
    }
    for index in [0, 1] {
        assert_eq!(moves.next(now), evict(index, false));
        moves.answered(index, answered(Answer::Accepted), now);
    }
    assert_eq!(moves.next(now), Next::Wait(None));
    moves.lost("a");
    assert_eq!(moves.next(now), evict(2, false));
    moves.answered(2, answered(Answer::Gone), now);
    moves.lost("b");
    assert_eq!(moves.next(now), Next::Done);
    let outcomes: Vec<_> = (0..3).map(|it| outcome(&moves, it, now)).collect();
    assert_eq!(outcomes, ["evicted", "evicted", "already_gone"]);
    assert_eq!((moves.evicted(), moves.settled()), (2, 3));
}

#[test]
fn one_group_after_the_other_and_the_agents_own_pod_last() {
    let now = Instant::now();
    let mut moves = Moves::new(10);
    moves.add(named("own"), Group::Own, now);
    moves.add(named("dns"), Group::Critical, now);
    moves.add(named("web"), Group::Ordinary, now);
    for (index, name) in [(2, "web"), (1, "dns")] {
        assert_eq!(moves.next(now), evict(index, false));
        moves.answered(index, answered(Answer::Accepted), now);
        assert_eq!(moves.next(now), Next::Wait(None));
        moves.lost(name);
    }
    assert_eq!(moves.next(now), evict(0, false));
    moves.answered(0, answered(Answer::Accepted), now);
    // Its end would be ours: nothing is waited for any more.
    assert_eq!(moves.next(now), Next::Done);
    assert_eq!(outcome(&moves, 0, now), "evicted");
}

#[test]
fn the_own_pod_stays_if_another_could_not_go() {
    let now = Instant::now();
    let mut moves = moves(&["web"], now);
    moves.add(named("own"), Group::Own, now);
    moves.next(now);
    moves.answered(0, answered(Answer::Forbidden), now);
    assert_eq!(moves.next(now), Next::Done);
    assert_eq!(outcome(&moves, 0, now), "forbidden");
    assert_eq!(outcome(&moves, 1, now), "not_tried");
}

#[test]
fn a_budget_lets_them_go_one_by_one_as_it_allows() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    moves.budget(budget(1), now);
    assert_eq!(moves.next(now), evict(0, false));
    moves.answered(0, answered(Answer::Accepted), now);
    // What was spent is known without asking.
    assert_eq!(moves.next(now), Next::Wait(Some(now + ASK_AGAIN)));
    assert_eq!(moves.take_held_up(), 1);
    assert_eq!(outcome(&moves, 1, now), "blocked");
    // The server's own count of the same eviction.
    moves.budget(budget(0), now);
    assert_eq!(moves.next(now), Next::Wait(Some(now + ASK_AGAIN)));
    assert_eq!(moves.take_held_up(), 0);
    moves.budget(budget(1), now);
    assert_eq!(moves.next(now), evict(1, false));
}

#[test]
fn a_budget_that_is_not_known_holds_until_news_or_time() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    moves.next(now);
    moves.answered(0, exhausted(), now);
    let details = moves.all()[0].details(now);
    assert_eq!(details["budget"]["needs"], 2);
    assert_eq!(details["budget"]["budgets"], json!(["web"]));
    // The other is not known to be under it.
    assert_eq!(moves.next(now), evict(1, false));
    moves.answered(1, exhausted(), now);
    assert_eq!(moves.next(now), Next::Wait(Some(now + ASK_AGAIN)));
    let later = now + ASK_AGAIN;
    assert_eq!(moves.next(later), evict(0, true));
    // Refused once more: nobody else needs to ask soon.
    moves.answered(0, exhausted(), later);
    assert_eq!(moves.next(later), Next::Wait(Some(later + ASK_AGAIN)));
    moves.budget(budget(0), later);
    assert_eq!(moves.next(later), Next::Wait(Some(later + ASK_AGAIN)));
    moves.no_budget(&("shop".to_owned(), "web".to_owned()), later);
    assert_eq!(moves.next(later), evict(0, true));
}

#[test]
fn never_is_said_at_once_and_the_others_go_on() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    moves.next(now);
    for _ in 0..TRIES_OF_500 {
        moves.answered(0, answered(Answer::Overlap), now);
    }
    assert_eq!(outcome(&moves, 0, now), "pdb_misconfigured");
    assert_eq!(moves.next(now), evict(1, false));
    let mut strict = budget(0);
    let object = json!({
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}},
    });
    let text = object.to_string();
    if let Ok(it) = serde_json::from_str::<BudgetObject<'_>>(&text) {
        strict = it.facts(Version::V1);
    }
    moves.budget(strict, now);
    assert_eq!(moves.never().len(), 1);
    assert_eq!(moves.next(now), Next::Done);
    let details = moves.all()[1].details(now);
    assert_eq!(
        (&details["outcome"], &details["never"]),
        (&json!("blocked"), &json!(true))
    );
}

#[test]
fn how_many_its_controller_wants_is_asked_once_and_decides() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    let object = json!({
        "metadata": {"namespace": "shop", "name": "web", "generation": 1},
        "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1, "desiredHealthy": 3, "currentHealthy": 3, "expectedPods": 3},
    });
    let text = object.to_string();
    let strict = serde_json::from_str::<BudgetObject<'_>>(&text)
        .unwrap()
        .facts(Version::V1);
    moves.budget(strict, now);
    let (namespace, controller) = moves.unresolved().unwrap();
    assert_eq!((&*namespace, &*controller.name), ("shop", "web"));
    assert!(moves.never().is_empty());
    assert!(matches!(moves.next(now), Next::Wait(Some(_))));
    moves.resolve(&controller, Some(3), now);
    assert_eq!(moves.unresolved(), None);
    assert_eq!(moves.never().len(), 2);
    assert_eq!(moves.next(now), Next::Done);
}

#[test]
fn a_budget_over_two_workloads_waits_for_the_other_ones_pod() {
    let now = Instant::now();
    let of = |name: &str, owner: &str| {
        let owner = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner, "controller": true,
        });
        pod(&json!({"metadata": {"name": name, "uid": name, "ownerReferences": [owner]}}))
    };
    let budget = |expected: i64| {
        let object = json!({
            "metadata": {"namespace": "shop", "name": "web", "generation": 1},
            "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"observedGeneration": 1, "desiredHealthy": 3, "disruptionsAllowed": expected - 3,
                "currentHealthy": expected, "expectedPods": expected},
        });
        let text = object.to_string();
        let read = serde_json::from_str::<BudgetObject<'_>>(&text);
        read.unwrap().facts(Version::V1)
    };
    // Three of the one and one of the other: one may be missing.
    let mut moves = Moves::new(10);
    moves.add(of("other", "b"), Group::Ordinary, now);
    moves.add(of("web", "a"), Group::Ordinary, now);
    moves.budget(budget(4), now);
    assert_eq!(moves.next(now), evict(0, false));
    moves.answered(0, answered(Answer::Accepted), now);
    moves.lost("other");
    // It is gone, and its replacement is not there yet: as many are needed as exist, and as the one wants.
    moves.budget(budget(3), now);
    while let Some((_, controller)) = moves.unresolved() {
        let wanted = if controller.uid == "a" { 3 } else { 1 };
        moves.resolve(&controller, Some(wanted), now);
    }
    assert!(moves.never().is_empty());
    assert!(matches!(moves.next(now), Next::Wait(Some(_))));
    moves.budget(budget(4), now);
    assert_eq!(moves.next(now), evict(1, false));
}

#[test]
fn throttling_pauses_all_and_blames_no_budget() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    moves.next(now);
    let throttled = Answered {
        retry_after: Some(seconds(7)),
        ..answered(Answer::Throttled)
    };
    moves.answered(0, throttled, now);
    assert_eq!(moves.next(now), Next::Wait(Some(now + seconds(7))));
    assert_eq!(moves.take_held_up(), 0);
    // The other has its turn first, and what is answered so each time is asked ever more rarely.
    let mut at = now + seconds(7);
    assert_eq!(moves.next(at), evict(1, false));
    moves.answered(1, answered(Answer::Accepted), at);
    for pause in [250, 500, 1000] {
        assert_eq!(
            moves.next(at),
            Next::Wait(Some(at + Duration::from_millis(pause)))
        );
        at += Duration::from_millis(pause);
        assert_eq!(moves.next(at), evict(0, true));
        moves.answered(0, answered(Answer::Throttled), at);
        assert_eq!(moves.next(at), Next::Wait(Some(at + THROTTLED)));
        at += THROTTLED;
    }
}

#[test]
fn what_was_not_sent_was_not_accepted() {
    let now = Instant::now();
    let mut moves = moves(&["a"], now);
    moves.next(now);
    moves.answered(0, answered(Answer::NotSent), now);
    assert!(!moves.all()[0].may_be_evicted());
    let at = now + Duration::from_millis(250);
    assert_eq!(moves.next(now), Next::Wait(Some(at)));
    moves.lost("a");
    assert_eq!(outcome(&moves, 0, now), "already_gone");
    assert_eq!(moves.evicted(), 0);
}

#[test]
fn two_budgets_at_once_may_pass() {
    let now = Instant::now();
    let mut moves = moves(&["a"], now);
    moves.budget(budget_named("old", 1), now);
    moves.budget(budget_named("new", 1), now);
    // At the beginning that is final.
    assert_eq!(moves.never().len(), 1);
    // On the way it is the server that says so, again and again.
    let mut at = now;
    for pause in [250, 500, 1000] {
        assert!(matches!(moves.next(at), Next::Evict { index: 0, .. }));
        moves.answered(0, answered(Answer::Overlap), at);
        let asked = at;
        at += Duration::from_millis(pause);
        assert_eq!(moves.next(asked), Next::Wait(Some(at)));
    }
    moves.no_budget(&("shop".to_owned(), "old".to_owned()), at);
    assert_eq!(moves.next(at), evict(0, true));
    moves.answered(0, answered(Answer::Accepted), at);
    assert_eq!(moves.evicted(), 1);
}

#[test]
fn who_is_protected_while_it_waits_stays() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    let protected = |name: &str| {
        let annotations = json!({"karpenter.sh/do-not-disrupt": "true"});
        pod(&json!({"metadata": {"name": name, "uid": name, "annotations": annotations}}))
    };
    moves.next(now);
    moves.answered(0, answered(Answer::Accepted), now);
    moves.budget(budget(0), now);
    for name in ["a", "b"] {
        moves.seen(protected(name), now);
    }
    // What is going already goes.
    assert_eq!(outcome(&moves, 0, now), "terminating");
    assert_eq!(outcome(&moves, 1, now), "protected");
    assert!(!moves.all()[1].may_succeed());
}

#[test]
fn a_lost_answer_may_have_been_a_yes() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    moves.next(now);
    moves.answered(0, answered(Answer::Lost), now);
    moves.answered(1, answered(Answer::Lost), now);
    assert!(moves.all()[0].may_be_evicted());
    let details = moves.all()[0].details(now);
    assert!(details["message"].as_str().unwrap().contains(one::MAYBE));
    assert!(moves.seen(ending("a"), now));
    moves.lost("a");
    moves.lost("b");
    assert_eq!(outcome(&moves, 0, now), "evicted");
    assert_eq!(outcome(&moves, 1, now), "evicted");
}

#[test]
fn failures_are_tried_again_ever_more_slowly_and_500_not_for_ever() {
    let now = Instant::now();
    let mut moves = moves(&["a"], now);
    let failed = |code: u16| Answered {
        status: Some(json!({"code": code})),
        ..answered(Answer::Failed)
    };
    let mut at = now;
    for pause in [250, 500, 1000, 2000, 4000, 5000, 5000] {
        assert!(matches!(moves.next(at), Next::Evict { .. }));
        moves.answered(0, failed(503), at);
        assert_eq!(
            moves.next(at),
            Next::Wait(Some(at + Duration::from_millis(pause)))
        );
        at += Duration::from_millis(pause);
    }
    let mut moves = self::moves(&["a"], now);
    for _ in 1..TRIES_OF_500 {
        moves.answered(0, failed(500), now);
        assert!(matches!(moves.next(now), Next::Wait(Some(_))));
    }
    moves.answered(0, failed(500), now);
    assert_eq!(moves.next(now), Next::Done);
    assert_eq!(outcome(&moves, 0, now), "failed");
}

#[test]
fn a_500_and_overlapping_budgets_are_counted_apart() {
    let now = Instant::now();
    let mut moves = moves(&["a"], now);
    let refused = |answer: Answer, code: u16| Answered {
        status: Some(json!({"code": code})),
        ..answered(answer)
    };
    let overlap = || refused(Answer::Overlap, 500);
    let failed = || refused(Answer::Failed, 500);
    let unavailable = || refused(Answer::Failed, 503);
    for _ in 0..TRIES_OF_500 {
        for answer in [overlap(), failed(), unavailable()] {
            moves.answered(0, answer, now);
            assert!(matches!(moves.next(now), Next::Wait(Some(_))));
        }
    }
    // Only what is said again and again is final.
    for _ in 1..TRIES_OF_500 {
        moves.answered(0, overlap(), now);
        assert!(matches!(moves.next(now), Next::Wait(Some(_))));
    }
    moves.answered(0, overlap(), now);
    assert_eq!(moves.next(now), Next::Done);
    assert_eq!(outcome(&moves, 0, now), "pdb_misconfigured");
}

#[test]
fn what_was_ending_already_is_only_waited_for() {
    let now = Instant::now();
    let mut moves = Moves::new(1);
    moves.add(ending("a"), Group::Ordinary, now);
    moves.add(named("b"), Group::Ordinary, now);
    // It takes nobody's place.
    assert_eq!(moves.next(now), evict(1, false));
    moves.answered(1, answered(Answer::Conflict), now);
    moves.replaced(1);
    assert_eq!(moves.next(now), Next::Wait(None));
    moves.only(&HashSet::new());
    assert_eq!(moves.next(now), Next::Done);
    assert_eq!(outcome(&moves, 0, now), "already_gone");
    assert_eq!(outcome(&moves, 1, now), "replaced");
    assert_eq!(moves.evicted(), 0);
}

#[test]
fn a_pod_that_a_list_still_shows_was_counted_too_early() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b", "c"], now);
    moves.only(&HashSet::new());
    assert!(moves.are_gone());
    moves.still_listed(&named("a"), now);
    moves.still_listed(&ending("b"), now);
    let mut finished = named("c");
    finished.phase = Phase::Finished;
    moves.still_listed(&finished, now);
    moves.still_listed(&named("unknown"), now);
    assert!(!moves.are_gone());
    assert_eq!(outcome(&moves, 1, now), "terminating");
    assert_eq!(outcome(&moves, 2, now), "already_gone");
    // Not at once: whoever says so and does not mean it is not asked in a loop.
    assert_eq!(moves.next(now), Next::Wait(Some(now + ASK_AGAIN)));
    assert_eq!(moves.next(now + ASK_AGAIN), evict(0, false));
}

#[test]
fn stuck_is_more_than_slow() {
    let now = Instant::now();
    let mut moves = Moves::new(1);
    moves.add(ending("a"), Group::Ordinary, now);
    assert_eq!(outcome(&moves, 0, now + seconds(89)), "terminating");
    assert_eq!(outcome(&moves, 0, now + seconds(91)), "stuck_terminating");
}

#[test]
fn a_pod_that_ends_by_itself_or_leaves_its_node_is_gone() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    moves.seen(
        pod(&json!({"metadata": {"name": "a", "uid": "a"}, "status": {"phase": "Succeeded"}})),
        now,
    );
    moves.seen(
        pod(&json!({"metadata": {"name": "b", "uid": "b"}, "spec": {"nodeName": "node-2"}})),
        now,
    );
    assert_eq!(moves.next(now), Next::Done);
    assert!(!moves.seen(named("stranger"), now));
}

#[test]
fn a_held_pod_that_is_not_ready_any_more_may_go() {
    let now = Instant::now();
    let mut moves = moves(&["a"], now);
    moves.budget(budget(0), now);
    assert!(matches!(moves.next(now), Next::Wait(Some(_))));
    let unready = json!({"metadata": {"name": "a", "uid": "a"}, "status": {"conditions": []}});
    moves.seen(pod(&unready), now);
    assert_eq!(moves.next(now), evict(0, false));
}

#[test]
fn who_returns_is_known_by_its_controller() {
    let now = Instant::now();
    let mut moves = moves(&["a"], now);
    let controller = named("a").controller.unwrap();
    assert!(!moves.has_moved_one_of(&controller));
    moves.answered(0, answered(Answer::Accepted), now);
    assert!(moves.has_moved_one_of(&controller));
    moves.add_settled(named("b"), Fate::Returned);
    assert_eq!(outcome(&moves, 1, now), "returned");
    assert!(!moves.all()[1].may_succeed());
}

#[test]
fn as_many_may_come_again_as_there_were() {
    let now = Instant::now();
    let mut moves = moves(&["a", "b"], now);
    let controller = named("a").controller.unwrap();
    moves.answered(0, answered(Answer::Accepted), now);
    for name in ["c", "d"] {
        assert!(moves.may_move_again(&controller), "{name}");
        moves.add_again(named(name), Group::Ordinary, now);
    }
    assert!(!moves.may_move_again(&controller));
    moves.add_settled(named("e"), Fate::Returned);
    assert!(
        !moves.may_move_again(&controller),
        "one that stays makes no room"
    );
    let mut other = controller;
    other.uid = "other".into();
    assert!(!moves.may_move_again(&other));
}
