use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

fn ids() -> [EnvelopeId; 3] {
    ["a", "b", "c"].map(|it| EnvelopeId::parse(it).unwrap())
}

fn transient(retry_after: Option<Duration>) -> Failure {
    Failure::Transient {
        why: "503".to_owned(),
        retry_after,
    }
}

fn refused() -> Failure {
    Failure::Refused {
        code: 400,
        why: "no".to_owned(),
    }
}

/// Whose turn it is.
fn turn(schedule: &Schedule, ids: &[EnvelopeId], now: Instant, key: u64) -> Option<String> {
    let picked = schedule.pick(ids.iter().map(|it| (it, ())), now, key);
    picked.map(|(id, ())| id.as_str().to_owned())
}

#[test]
fn the_oldest_goes_first() {
    let schedule = Schedule::default();
    let now = Instant::now();
    assert_eq!(turn(&schedule, &ids(), now, 0).as_deref(), Some("a"));
    assert_eq!(turn(&schedule, &[], now, 0), None);
    assert_eq!(schedule.quiet(now, 0), Duration::MAX);
}

#[test]
fn one_that_always_fails_holds_up_no_other() {
    let mut schedule = Schedule::default();
    let (all, now) = (ids(), Instant::now());
    for _ in 0..10 {
        schedule.failed(&all[0], &transient(None), now);
        assert_eq!(turn(&schedule, &all, now, 0).as_deref(), Some("b"));
        assert!(schedule.trouble().is_some());
        // Due again, and still behind those that never failed.
        assert_eq!(turn(&schedule, &all, now + MINUTE, 0).as_deref(), Some("b"));
    }
    schedule.settled(&all[1], now);
    assert_eq!(turn(&schedule, &all[..1], now, 0), None);
    let quiet = schedule.quiet(now, 0);
    assert!(quiet > Duration::ZERO && quiet <= MINUTE, "{quiet:?}");
    assert_eq!(
        turn(&schedule, &all[..1], now + quiet, 0).as_deref(),
        Some("a")
    );
    schedule.settled(&all[0], now);
    assert_eq!(schedule.trouble(), None);
}

#[test]
fn where_several_fail_all_wait_until_one_went_well() {
    let mut schedule = Schedule::default();
    let (all, mut now) = (ids(), Instant::now());
    schedule.failed(&all[0], &transient(None), now);
    schedule.failed(&all[1], &transient(None), now);
    assert!(schedule.held(now, 0).is_some());
    assert_eq!(turn(&schedule, &all, now, 0), None);
    for _ in 0..10 {
        now += MINUTE;
        assert_eq!(schedule.held(now, 0), None);
        schedule.failed(&all[0], &transient(None), now);
        assert!(schedule.held(now, 0).is_some_and(|it| it <= MINUTE));
    }
    // What has failed because of that is due at once.
    schedule.settled(&all[2], now);
    assert_eq!(turn(&schedule, &all[..2], now, 0).as_deref(), Some("b"));
}

#[test]
fn what_the_backend_asks_for_holds_for_all() {
    let mut schedule = Schedule::default();
    let (all, now) = (ids(), Instant::now());
    let pause = schedule.failed(&all[0], &transient(Some(30 * SECOND)), now);
    assert_eq!(pause, 30 * SECOND);
    assert_eq!(turn(&schedule, &all, now + 29 * SECOND, 0), None);
    let over = now + 30 * SECOND;
    assert_eq!(turn(&schedule, &all, over, 0).as_deref(), Some("b"));
    // It was not the fault of the one that heard of it.
    assert_eq!(turn(&schedule, &all[..1], over, 0).as_deref(), Some("a"));
}

#[test]
fn a_refused_key_holds_all_until_it_changes() {
    let mut schedule = Schedule::default();
    let (all, now) = (ids(), Instant::now());
    let failure = Failure::Unauthorized {
        code: 401,
        key_version: 3,
    };
    assert_eq!(schedule.failed(&all[0], &failure, now), MINUTE);
    assert_eq!(turn(&schedule, &all, now + 59 * SECOND, 3), None);
    // The key is looked at all the while.
    assert!(schedule.quiet(now, 3) < 5 * SECOND);
    assert_eq!(turn(&schedule, &all, now, 4).as_deref(), Some("b"));
    assert_eq!(turn(&schedule, &all, now + MINUTE, 3).as_deref(), Some("b"));
}

#[test]
fn what_is_refused_is_tried_again_six_times_and_holds_up_no_other() {
    let mut schedule = Schedule::default();
    let (all, mut now) = (ids(), Instant::now());
    for _ in 0..REFUSED_TRIES {
        assert!(!schedule.refused(&all[0], &refused(), now));
        assert_eq!(turn(&schedule, &all, now, 0).as_deref(), Some("b"));
        // Whatever becomes of the others.
        schedule.failed(&all[1], &transient(None), now);
        schedule.failed(&all[2], &transient(None), now);
        schedule.settled(&all[1], now);
        schedule.settled(&all[2], now);
        assert_eq!(turn(&schedule, &all[..1], now + 9 * MINUTE, 0), None);
        now += REFUSED_PAUSE;
        assert_eq!(turn(&schedule, &all[..1], now, 0).as_deref(), Some("a"));
    }
    assert!(schedule.refused(&all[0], &refused(), now));
    assert_eq!(schedule.trouble(), None);
}

#[test]
fn what_is_put_off_is_no_trouble() {
    let mut schedule = Schedule::default();
    let (all, now) = (ids(), Instant::now());
    schedule.put_off(&all[0], SECOND, now);
    assert!(!schedule.is_due(&all[0], now) && schedule.is_due(&all[0], now + SECOND));
    assert_eq!((schedule.quiet(now, 0), schedule.trouble()), (SECOND, None));
}
