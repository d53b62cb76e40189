use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;

fn health() -> Arc<Health> {
    Health::new(Arc::new(Metrics::new().unwrap()))
}

#[test]
fn a_silent_component_fails_liveness_by_name() {
    let health = health();
    let quick = health.component("quick", Duration::ZERO);
    health.component("slow", Duration::from_hours(1));
    std::thread::yield_now();
    assert_eq!(
        health
            .live()
            .unwrap_err()
            .keys()
            .copied()
            .collect::<Vec<_>>(),
        ["quick"]
    );
    quick.period(Duration::from_hours(1));
    assert!(health.live().is_ok());
}

#[test]
fn an_announced_wait_is_no_lack_of_progress_until_it_is_over() {
    let health = health();
    let poller = health.component("poller", Duration::ZERO);
    poller.waits(Duration::from_hours(1));
    assert!(health.live().is_ok());
    // What comes after the wait is watched as before it.
    poller.beat();
    std::thread::yield_now();
    assert!(health.live().is_err());
}

#[test]
fn a_degraded_component_says_why_and_since_when_and_stays_live() {
    let health = health();
    let collector = health.component("collector", Duration::from_hours(1));
    collector.degraded("no Metrics API");
    let report = health.report().remove("collector").unwrap();
    assert_eq!(
        (report.state, report.reason.as_deref()),
        (State::Degraded, Some("no Metrics API"))
    );
    assert!(!health.all_running());
    assert!(health.live().is_ok());
    collector.running();
    assert!(health.all_running());
}

#[test]
fn restarts_are_counted_where_people_look() {
    let health = health();
    health.component("collector", Duration::from_hours(1));
    health.failed("collector", "panicked: x", Duration::from_secs(1));
    assert_eq!(health.report()["collector"].state, State::Restarting);
    health.restarted("collector");
    assert_eq!(health.report()["collector"].restarts, 1);
    let text = health.metrics.text();
    assert!(
        text.contains("component_restarts_total{component=\"collector\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("component_state{component=\"collector\",state=\"running\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("component_state{component=\"collector\",state=\"restarting\"} 0"),
        "{text}"
    );
}

#[test]
fn a_component_that_stands_by_is_live_and_well() {
    let health = health();
    health.component("collector", Duration::from_hours(1));
    health.failed("collector", "panicked: x", Duration::ZERO);
    health.stand_by("collector");
    assert!(health.live().is_ok() && health.all_running());
    let report = health.report().remove("collector").unwrap();
    assert_eq!((report.state, report.restarts), (State::Standby, 1));
}

#[test]
fn readiness_names_the_failing_check() {
    let health = health();
    health.check("registered", Err("not yet".to_owned()));
    health.check("cluster", Ok(()));
    assert_eq!(
        health.ready().unwrap_err(),
        BTreeMap::from([("registered", "not yet".to_owned())])
    );
    health.check("registered", Ok(()));
    assert!(health.ready().is_ok());
}
