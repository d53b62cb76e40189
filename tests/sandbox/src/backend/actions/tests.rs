//! Who may do what to an action, and when.

use serde_json::json;

use super::super::envelope::sha256_hex;
use super::*;

const LEASE: Duration = Duration::from_mins(5);

fn actions() -> Actions {
    let mut actions = Actions::default();
    let envelope = Envelope {
        id: "a".into(),
        timestamp: 0,
        payload: "{}".into(),
        signature: String::new(),
    };
    actions
        .add(envelope, "cordon_node", "c", None, 100, String::new())
        .unwrap();
    actions
}

fn by(instance_id: &str, payload: &str) -> ClaimMessage {
    ClaimMessage {
        agent_id: "x".into(),
        instance_id: instance_id.into(),
        payload_sha256: sha256_hex(payload.as_bytes()),
    }
}

fn claim(actions: &mut Actions, instance_id: &str, payload: &str) -> Answer {
    actions.claim("a", &by(instance_id, payload), LEASE, String::new())
}

fn finish(actions: &mut Actions, instance_id: &str, result: i64) -> Answer {
    actions.finish(
        "a",
        &by(instance_id, "{}"),
        json!({ "status": result }),
        String::new(),
    )
}

fn state(actions: &Actions) -> ActionState {
    actions.get("a").unwrap().state
}

#[test]
fn is_claimed_by_one_instance_until_it_has_its_result() {
    let mut actions = actions();
    assert_eq!(claim(&mut actions, "i", "{ }"), conflict("another payload"));
    assert_eq!(
        finish(&mut actions, "i", 1),
        broken("not claimed by this instance")
    );
    assert_eq!(claim(&mut actions, "i", "{}"), Answer::Granted);
    assert_eq!(claim(&mut actions, "i", "{}"), Answer::Granted);
    assert_eq!(
        claim(&mut actions, "j", "{}"),
        conflict("claimed by another instance")
    );
    assert_eq!(actions.cancel("a"), conflict("claimed already"));
    assert_eq!(
        finish(&mut actions, "j", 1),
        broken("not claimed by this instance")
    );
    assert_eq!(finish(&mut actions, "i", 1), Answer::Granted);
    assert_eq!(finish(&mut actions, "i", 1), Answer::Granted);
    assert_eq!(
        finish(&mut actions, "i", 2),
        broken("another result is stored")
    );
    assert_eq!(
        claim(&mut actions, "i", "{}"),
        conflict("it has its result")
    );
    let action = actions.get("a").unwrap();
    assert_eq!(
        (
            action.claims_granted,
            action.result_repeats,
            action.results_refused
        ),
        (2, 1, 3)
    );
    assert_eq!(claim(&mut Actions::default(), "i", "{}"), Answer::Unknown);
}

#[test]
fn what_nobody_claimed_expires_or_is_cancelled() {
    let mut cancelled = actions();
    assert_eq!(cancelled.cancel("a"), Answer::Granted);
    assert_eq!(claim(&mut cancelled, "i", "{}"), Answer::Gone("cancelled"));
    let mut expired = actions();
    expired.advance(99);
    assert_eq!(state(&expired), ActionState::Pending);
    expired.advance(100);
    assert_eq!(claim(&mut expired, "i", "{}"), Answer::Gone("expired"));
    assert_eq!(expired.pending("c", "x").count(), 0);
}

#[test]
fn a_lost_action_is_never_offered_again_but_its_late_result_is_taken() {
    let mut actions = actions();
    assert_eq!(
        actions.claim("a", &by("i", "{}"), Duration::ZERO, String::new()),
        Answer::Granted
    );
    // The lease is over as soon as the clock moves on.
    while state(&actions) != ActionState::Lost {
        actions.advance(1);
    }
    assert_eq!(actions.pending("c", "x").count(), 0);
    assert_eq!(
        claim(&mut actions, "j", "{}"),
        conflict("claimed by another instance")
    );
    assert_eq!(finish(&mut actions, "i", 1), Answer::Granted);
    assert!(state(&actions) == ActionState::Done && actions.get("a").unwrap().was_lost);
}

#[test]
fn a_lease_is_renewed_by_its_holder_only() {
    let mut actions = actions();
    assert!(actions.renew("a", ("x", "i"), LEASE).is_err());
    claim(&mut actions, "i", "{}");
    assert!(actions.renew("a", ("x", "i"), LEASE).is_ok());
    assert!(actions.renew("a", ("x", "j"), LEASE).is_err());
    assert!(actions.renew("unknown", ("x", "j"), LEASE).is_ok());
}

#[test]
fn what_names_another_agent_is_left_out() {
    let mut actions = Actions::default();
    let envelope = Envelope {
        id: "a".into(),
        timestamp: 0,
        payload: "{}".into(),
        signature: String::new(),
    };
    actions
        .add(
            envelope.clone(),
            "cordon_node",
            "c",
            Some("y".into()),
            100,
            String::new(),
        )
        .unwrap();
    assert!(
        actions
            .add(envelope, "cordon_node", "c", None, 100, String::new())
            .is_err()
    );
    assert_eq!(actions.pending("c", "x").count(), 0);
    assert_eq!(actions.pending("d", "y").count(), 0);
    assert_eq!(actions.pending("c", "y").count(), 1);
    assert_eq!(claim(&mut actions, "i", "{}"), broken("for another agent"));
}
