use serde_json::{Value, json};

use super::object::BudgetObject;
use super::*;
use crate::actuator::execute::eviction::Version;
use crate::actuator::execute::pods::testing::pod;

fn budget(name: &str, spec: &Value, status: &Value) -> Budget {
    budget_at(Version::V1, name, spec, status)
}

fn budget_at(api: Version, name: &str, spec: &Value, status: &Value) -> Budget {
    let mut object = json!({
        "metadata": {"namespace": "shop", "name": name, "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"observedGeneration": 1},
    });
    for (part, change) in [("spec", spec), ("status", status)] {
        for (member, value) in change.as_object().unwrap() {
            object[part][member] = value.clone();
        }
    }
    let text = object.to_string();
    serde_json::from_str::<BudgetObject<'_>>(&text)
        .unwrap()
        .facts(api)
}

/// `disruptionsAllowed`, `desiredHealthy`, `currentHealthy`, `expectedPods`
fn status(allowed: i64, needs: i64, has: i64, expected: i64) -> Value {
    json!({"disruptionsAllowed": allowed, "desiredHealthy": needs, "currentHealthy": has, "expectedPods": expected})
}

fn of(budgets: Vec<Budget>) -> Budgets {
    let mut all = Budgets::default();
    for it in budgets {
        all.set(it);
    }
    all
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Free => "free",
        Verdict::Held(_) => "held",
        Verdict::Never(_) => "never",
    }
}

#[test]
fn whether_waiting_helps() {
    let count = |n: i64| json!({"minAvailable": n});
    let least = |share: &str| json!({"minAvailable": share});
    let most = |amount: Value| json!({"maxUnavailable": amount});
    let cases = [
        // spec, status, wanted by the controller, verdict
        (count(2), status(1, 2, 3, 3), None, "free"),
        (count(2), status(0, 2, 2, 3), Some(3), "held"),
        (count(3), status(0, 3, 3, 3), Some(3), "never"),
        (count(4), status(0, 4, 3, 3), Some(3), "never"),
        (count(3), status(0, 3, 2, 2), Some(3), "never"),
        // Of a stateful set of three that allows one to be missing, one is just away: two exist.
        (count(2), status(0, 2, 2, 2), Some(3), "held"),
        // Two more exist than the known controllers want, so another one has pods too.
        (count(5), status(0, 5, 5, 5), Some(3), "held"),
        // What its controller wants is not known.
        (count(3), status(0, 3, 3, 3), None, "held"),
        (least("100%"), status(0, 3, 3, 3), None, "never"),
        (least("80%"), status(0, 3, 3, 3), None, "never"),
        (least("50%"), status(0, 2, 2, 3), None, "held"),
        (least("50%"), status(1, 2, 3, 3), None, "free"),
        (most(json!(0)), status(0, 3, 3, 3), None, "never"),
        (most(json!("0%")), status(0, 3, 3, 3), None, "never"),
        (most(json!(1)), status(0, 2, 2, 3), None, "held"),
        (most(json!("10%")), status(0, 3, 3, 3), None, "never"),
        // No controller was found for its pods, so nothing is expected: that may pass.
        (most(json!(1)), status(0, 0, 0, 0), None, "held"),
        (json!({}), status(0, 0, 0, 0), None, "held"),
    ];
    for (spec, status, wanted, expected) in cases {
        let budgets = of(vec![budget("web", &spec, &status)]);
        let verdict = budgets.verdict(&pod(&json!({})), wanted);
        assert_eq!(word(&verdict), expected, "{spec} {status} {wanted:?}");
    }
}

#[test]
fn a_stale_budget_holds_whatever_it_says() {
    let stale = json!({"observedGeneration": 0, "disruptionsAllowed": 1});
    let budgets = of(vec![budget("web", &json!({"minAvailable": 1}), &stale)]);
    let Verdict::Held(block) = budgets.verdict(&pod(&json!({})), None) else {
        panic!("held")
    };
    assert_eq!(block.numbers, None);
    assert_eq!(
        block.text(),
        "budget web: its controller has not counted it yet"
    );
}

#[test]
fn pods_that_no_budget_holds() {
    let strict = |policy: &str| {
        let spec = json!({"maxUnavailable": 0, "unhealthyPodEvictionPolicy": policy});
        of(vec![budget("web", &spec, &status(0, 3, 2, 3))])
    };
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let verdict = |policy: &str, change: &Value| word(&strict(policy).verdict(&pod(change), None));
    assert_eq!(verdict("IfHealthyBudget", &json!({})), "never");
    assert_eq!(verdict("IfHealthyBudget", &unready), "never");
    assert_eq!(verdict("AlwaysAllow", &unready), "free");
    assert_eq!(
        verdict("IfHealthyBudget", &json!({"status": {"phase": "Pending"}})),
        "free"
    );
    let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(verdict("IfHealthyBudget", &ending), "free");
    // Enough others are healthy, so that one that is not may go.
    let enough = of(vec![budget(
        "web",
        &json!({"minAvailable": 2}),
        &status(0, 2, 2, 3),
    )]);
    assert_eq!(word(&enough.verdict(&pod(&unready), None)), "free");
}

#[test]
fn which_budgets_select_a_pod() {
    let free = status(0, 0, 0, 0);
    let any = json!({"maxUnavailable": 0, "selector": {}});
    let none = json!({"maxUnavailable": 0, "selector": null});
    let other = json!({"maxUnavailable": 0, "selector": {"matchLabels": {"app": "api"}}});
    let not_api = json!({"maxUnavailable": 0, "selector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}});
    let cases = [
        (Version::V1, &any, "never"),
        (Version::V1Beta1, &any, "free"),
        (Version::V1, &none, "free"),
        (Version::V1Beta1, &none, "free"),
        (Version::V1, &other, "free"),
        (Version::V1, &not_api, "never"),
        (Version::V1Beta1, &not_api, "never"),
    ];
    for (api, spec, expected) in cases {
        let budgets = of(vec![budget_at(api, "web", spec, &free)]);
        let verdict = budgets.verdict(&pod(&json!({})), None);
        assert_eq!(word(&verdict), expected, "{api:?} {spec}");
    }
    let elsewhere = pod(&json!({"metadata": {"namespace": "other"}}));
    let budgets = of(vec![budget("web", &any, &free)]);
    assert_eq!(budgets.verdict(&elsewhere, None), Verdict::Free);
}

#[test]
fn two_budgets_over_one_pod_never_allow_it() {
    let free = status(2, 1, 3, 3);
    let spec = json!({"minAvailable": 1});
    let mut budgets = of(vec![budget("a", &spec, &free), budget("b", &spec, &free)]);
    let Verdict::Never(block) = budgets.verdict(&pod(&json!({})), None) else {
        panic!("never")
    };
    assert_eq!(block.budgets, ["a", "b"]);
    assert_eq!(block.details()["budgets"], json!(["a", "b"]));
    budgets.remove(&("shop".to_owned(), "b".to_owned()));
    assert_eq!(budgets.verdict(&pod(&json!({})), None), Verdict::Free);
    budgets.keep(|_| false);
    assert_eq!(budgets.of(&pod(&json!({}))).count(), 0);
}

#[test]
fn what_was_spent_is_held_until_the_next_count() {
    let spec = json!({"minAvailable": 2});
    let mut budgets = of(vec![budget("web", &spec, &status(1, 2, 3, 3))]);
    budgets.spend(&pod(&json!({})));
    assert_eq!(word(&budgets.verdict(&pod(&json!({})), None)), "held");
    budgets.set(budget("web", &spec, &status(1, 2, 3, 3)));
    assert_eq!(word(&budgets.verdict(&pod(&json!({})), None)), "free");
}

#[test]
fn what_was_there_may_come_back() {
    let spec = json!({"minAvailable": 3});
    let mut budgets = of(vec![budget("web", &spec, &status(1, 3, 4, 4))]);
    let verdict = |budgets: &Budgets| word(&budgets.verdict(&pod(&json!({})), Some(3)));
    budgets.set(budget("web", &spec, &status(0, 3, 3, 3)));
    assert_eq!(verdict(&budgets), "held");
    let share = json!({"maxUnavailable": "10%"});
    budgets.set(budget("web", &share, &status(0, 3, 3, 3)));
    assert_eq!(verdict(&budgets), "held");
    budgets.set(budget("web", &spec, &status(1, 3, 4, 4)));
    assert_eq!(verdict(&budgets), "free");
}

#[test]
fn the_controller_is_asked_only_where_it_matters() {
    let asks = |spec: Value, status: &Value| {
        let budgets = of(vec![budget("web", &spec, status)]);
        budgets.asks_for(&pod(&json!({}))).map(|it| it.name.clone())
    };
    assert_eq!(
        asks(json!({"minAvailable": 3}), &status(0, 3, 3, 3)),
        Some("web".to_owned())
    );
    assert_eq!(asks(json!({"minAvailable": 3}), &status(1, 3, 4, 4)), None);
    assert_eq!(
        asks(json!({"maxUnavailable": 0}), &status(0, 3, 3, 3)),
        None
    );
}

#[test]
fn what_the_server_says_is_read() {
    let block = Block::read("The disruption budget web needs 3 healthy pods and has 2 currently");
    assert_eq!(
        (&*block.budgets, block.numbers),
        (&["web".to_owned()][..], Some((3, 2)))
    );
    assert_eq!(
        block.text(),
        "budget web needs 3 healthy pods and has 2: it allows no disruption now"
    );
    let other = Block::read("something else");
    assert_eq!(
        (other.text(), other.numbers),
        ("something else".to_owned(), None)
    );
}
