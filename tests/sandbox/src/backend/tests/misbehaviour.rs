//! Faults on demand, as a client sees them.

use std::io;
use std::time::{Duration, Instant};

use super::super::{Endpoint, Fault, FaultKind};
use super::{Call, backend, batch, pod, registration};

fn register() -> Call {
    Call::json("POST", "/v1/agents/register", &registration())
}

#[test]
fn answers_are_replaced_and_requests_not_carried_out() {
    let backend = backend();
    backend.set_faults(
        Endpoint::Register,
        [
            Fault::retry_after(503, "30").times(1),
            Fault::from(FaultKind::Redirect {
                status: 307,
                location: "http://127.0.0.1:1/".into(),
            })
            .times(1),
            Fault::from(FaultKind::Garbage).times(1),
            Fault::from(FaultKind::WrongShape).times(1),
            Fault::status(500).times(1).after_processing(),
        ],
    );
    assert_eq!(
        register().expect(&backend, 503).header("retry-after"),
        Some("30")
    );
    assert_eq!(
        register().expect(&backend, 307).header("location"),
        Some("http://127.0.0.1:1/")
    );
    assert!(register().expect(&backend, 200).json().is_null());
    assert!(register().expect(&backend, 200).json().is_array());
    assert!(backend.registrations().is_empty());
    register().expect(&backend, 500);
    assert_eq!(backend.registrations().len(), 1);
    register().expect(&backend, 200);
    assert_eq!(backend.registrations()[0].repeats, 1);
    let requests = backend.requests();
    assert_eq!(requests.iter().filter(|request| request.faulted).count(), 5);
    assert_eq!(
        backend.request_counts()[&(Some(Endpoint::Register), 200)],
        3
    );
    backend.assert_no_violations();
}

#[test]
fn answers_are_cut() {
    let backend = backend();
    backend.set_fault(Endpoint::All, FaultKind::Truncated);
    let answer = register().expect(&backend, 200);
    let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(answer.body.len() < promised);
    backend.set_fault(
        Endpoint::Register,
        Fault::from(FaultKind::Reset).after_processing(),
    );
    let err = register().send(&backend).unwrap_err();
    assert_eq!(err.kind(), io::ErrorKind::ConnectionReset, "{err}");
    assert_eq!(backend.registrations().len(), 1);
    backend.set_fault(Endpoint::Register, FaultKind::NotHttp);
    assert!(register().send(&backend).is_err());
    backend.clear_faults();
    register().expect(&backend, 200);
}

#[test]
fn answers_take_their_time_or_never_come() {
    let backend = backend();
    let started = Instant::now();
    backend.set_fault(Endpoint::Register, FaultKind::Delay { ms: 50 });
    register().expect(&backend, 200);
    backend.set_fault(Endpoint::Register, FaultKind::Slow { interval_ms: 1 });
    register().expect(&backend, 200);
    assert!(
        started.elapsed() > Duration::from_millis(150),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(backend.registrations().len(), 1);

    backend.set_fault(Endpoint::Register, FaultKind::Hang);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| register().send(&backend));
        assert!(backend.wait_for(super::DEADLINE, |backend| backend.requests().len() == 3));
        assert!(!call.is_finished());
        // Going down frees whoever hangs.
        backend.down();
        assert!(call.join().unwrap().is_err());
    });
}

#[test]
fn large_answers_are_large() {
    let backend = backend();
    backend.set_fault(Endpoint::Register, FaultKind::LargeHeaders);
    assert!(register().expect(&backend, 200).head.len() > 10 << 20);
    backend.set_fault(Endpoint::Register, FaultKind::Bomb);
    let answer = register().expect(&backend, 200);
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(
        answer.body.len() > 100 << 10 && answer.body.len() < 4 << 20,
        "{}",
        answer.body.len()
    );
}

#[test]
fn batches_above_a_limit_are_refused() {
    let backend = backend();
    backend.set_fault(Endpoint::Metrics, FaultKind::MaxSamples { samples: 1 });
    Call::batch(&batch(1, &[pod("a"), pod("b")])).expect(&backend, 413);
    Call::batch(&batch(2, &[pod("a")])).expect(&backend, 202);
    Call::batch(&batch(3, &[pod("b")])).expect(&backend, 202);
    assert_eq!(backend.cycles()[0].duplicates, 0);
    backend.assert_no_violations();
}

#[test]
fn goes_down_and_comes_up_on_its_port() {
    let backend = backend();
    register().expect(&backend, 200);
    backend.down();
    assert_eq!(
        register().send(&backend).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    backend.up().unwrap();
    register().expect(&backend, 200);
    let down = Call::json("POST", "/admin/down", &serde_json::json!({"seconds": 1}));
    // It may be down before its answer is sent.
    let answer = down.send(&backend).map(|it| it.status);
    assert!(
        answer.as_ref().is_ok_and(|it| *it == 202) || answer.is_err(),
        "{answer:?}"
    );
    assert!(backend.wait_for(super::DEADLINE, |_| register().send(&backend).is_err()));
    assert!(backend.wait_for(super::DEADLINE, |_| register().send(&backend).is_ok()));
    backend.assert_no_violations();
}
