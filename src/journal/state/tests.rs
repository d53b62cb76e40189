use serde_json::json;

use super::*;
use crate::journal::testing::{EXPIRES_AT, body, id, order};

fn record(name: &str, id_text: &str) -> Record<'static> {
    let id = Cow::Owned(id(id_text));
    match name {
        "received" => {
            let envelope = Cow::Owned(order(id_text, "worker-7").envelope().clone());
            Record::Received {
                envelope,
                expires_at: EXPIRES_AT,
            }
        }
        "claimed" => Record::Claimed { id },
        "started" => Record::Started { id, at: 7 },
        "step" => Record::Step {
            id,
            step: Cow::Borrowed("{}"),
        },
        "done" => Record::Done {
            id,
            body: Cow::Owned(body("{}")),
        },
        "parked" => Record::Parked { id },
        "closed" => Record::Closed { id },
        "kept" => Record::Kept {
            id,
            body: Cow::Owned(body("{}")),
            is_parked: false,
        },
        other => panic!("no record {other}"),
    }
}

fn after(names: &[&str]) -> State {
    let mut state = State::new("i".into());
    for name in names {
        state.apply(record(name, "a")).expect(name);
    }
    state
}

/// The records that would make this state, as text and without the order of the known ids.
fn told(state: &State) -> Vec<String> {
    let mut records: Vec<_> = state.records().map(|it| json!(it).to_string()).collect();
    let is_known = |text: &String| text.starts_with("{\"known\"");
    let end = records.iter().rposition(is_known).map_or(0, |n| n + 1);
    let start = records.iter().position(is_known).unwrap_or(end);
    records[start..end].sort();
    records
}

#[test]
fn which_record_may_follow_which() {
    let all = [
        "received", "claimed", "started", "step", "done", "parked", "closed", "kept",
    ];
    let cases: [(&[&str], &[&str]); 8] = [
        (&[], &["received", "kept"]),
        (&["received"], &["claimed", "closed"]),
        (
            &["received", "claimed"],
            &["claimed", "started", "done", "closed"],
        ),
        (&["received", "claimed", "started"], &["step", "done"]),
        (
            &["received", "claimed", "started", "step"],
            &["step", "done"],
        ),
        (&["received", "claimed", "done"], &["parked", "closed"]),
        (&["received", "claimed", "done", "parked"], &["closed"]),
        // Long after: an id may come again once it is forgotten.
        (
            &["received", "claimed", "done", "closed"],
            &["received", "kept"],
        ),
    ];
    for (before, legal) in cases {
        for next in all {
            let mut state = after(before);
            let old = told(&state);
            let result = state.apply(record(next, "a"));
            assert_eq!(
                result.is_ok(),
                legal.contains(&next),
                "{next} after {before:?}"
            );
            if result.is_err() {
                assert_eq!(
                    told(&state),
                    old,
                    "{next} after {before:?} changed something"
                );
            }
        }
    }
}

#[test]
fn its_records_make_the_same_state() {
    let mut state = State::new("the instance".into());
    let lives: [&[&str]; 8] = [
        &["received"],
        &["received", "claimed"],
        &["received", "claimed", "started"],
        &["received", "claimed", "started", "step", "step"],
        &["received", "claimed", "done"],
        &["received", "claimed", "started", "done"],
        &["received", "claimed", "done", "parked"],
        &["received", "claimed", "done", "closed"],
    ];
    for (n, life) in lives.iter().enumerate() {
        for name in *life {
            state.apply(record(name, &format!("act_{n}"))).expect(name);
        }
    }
    let settings = Cow::Borrowed("{\"dry_run\":true}");
    state
        .apply(Record::Config {
            version: 3,
            settings,
        })
        .expect("config");

    let mut copy = State::new("the instance".into());
    for record in state.records().skip(1) {
        copy.apply(record).expect("a record of its own");
    }
    assert_eq!(told(&copy), told(&state));
    assert_eq!(copy.known.len(), lives.len());
    let ids = |state: &State| -> Vec<String> {
        state
            .in_order()
            .iter()
            .map(|(id, _)| id.to_string())
            .collect()
    };
    assert_eq!(ids(&copy), ids(&state));
    assert_eq!(
        ids(&copy),
        [
            "act_0", "act_1", "act_2", "act_3", "act_4", "act_5", "act_6"
        ]
    );
}

#[test]
fn of_many_parked_results_the_oldest_go() {
    let mut state = State::new("i".into());
    for n in 0..MAX_PARKED + 3 {
        for name in ["received", "claimed", "done", "parked"] {
            state.apply(record(name, &format!("act_{n}"))).expect(name);
        }
    }
    assert_eq!(state.orders.len(), MAX_PARKED);
    assert!(state.stage(&id("act_2")).is_none());
    assert!(state.stage(&id("act_3")).is_some());

    // Two large ones are too many together; one that is not parked does not count.
    let large = "x".repeat(MAX_PARKED_BYTES / 2 + 1);
    let mut state = State::new("i".into());
    for name in ["a", "b", "c"] {
        let id = Cow::Owned(id(name));
        let body = Cow::Owned(body(&large));
        state
            .apply(Record::Kept {
                id,
                body,
                is_parked: false,
            })
            .expect("kept");
    }
    for name in ["a", "b"] {
        state.apply(record("parked", name)).expect("parked");
    }
    assert!(state.stage(&id("a")).is_none());
    assert!(matches!(state.stage(&id("b")), Some(Stage::Parked(_))));
    assert!(matches!(state.stage(&id("c")), Some(Stage::Done(_))));
}
