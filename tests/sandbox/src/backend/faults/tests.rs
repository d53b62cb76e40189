//! The order in which faults are used up, and their form as JSON.

use serde_json::json;

use super::*;

#[test]
fn faults_follow_one_another_and_end() {
    let faults = Faults::default();
    faults.set(
        Endpoint::Metrics,
        [Fault::status(503).times(2), FaultKind::Hang.into()],
    );
    faults.set(Endpoint::All, [Fault::status(500)]);
    let kinds: Vec<FaultKind> = (0..4)
        .filter_map(|_| faults.take(Endpoint::Metrics))
        .map(|fault| fault.kind)
        .collect();
    let unavailable = FaultKind::Status {
        status: 503,
        retry_after: None,
    };
    assert_eq!(
        kinds,
        [
            unavailable.clone(),
            unavailable,
            FaultKind::Hang,
            FaultKind::Hang
        ]
    );
    assert_eq!(faults.take(Endpoint::Heartbeat), Some(Fault::status(500)));
    faults.set(Endpoint::Metrics, []);
    assert_eq!(faults.take(Endpoint::Metrics), Some(Fault::status(500)));
    faults.clear();
    assert!(faults.take(Endpoint::Metrics).is_none() && faults.list().is_empty());
}

#[test]
fn a_limit_on_samples_counts_only_what_it_refuses() {
    let faults = Faults::default();
    faults.set(
        Endpoint::Metrics,
        [Fault::from(FaultKind::MaxSamples { samples: 10 }).times(1)],
    );
    assert!(faults.take(Endpoint::Metrics).is_none());
    assert!(!faults.refuses_batch(10));
    assert!(faults.refuses_batch(11));
    assert!(!faults.refuses_batch(11));
}

#[test]
fn are_written_as_json() {
    let fault: Fault = serde_json::from_value(
        json!({"fault": "status", "status": 429, "retry_after": "soon", "times": 2}),
    )
    .unwrap();
    assert_eq!(fault, Fault::retry_after(429, "soon").times(2));
    let fault: Fault =
        serde_json::from_value(json!({"fault": "hang", "after_processing": true})).unwrap();
    assert_eq!(fault, Fault::from(FaultKind::Hang).after_processing());
}
