//! More actions than fit anywhere.

use crate::common::settles;
use crate::common::world::World;

#[test]
fn a_thousand_actions_are_done_four_at_a_time() {
    let world = World::new(250, 0);
    let mut ids = Vec::new();
    for round in 0..4 {
        ids.extend(world.label_nodes(250, round));
    }
    let mut agent = world.setup.start();
    let mut most = 0;
    let memory = || {
        agent
            .metric("kubernetes_agent_process_resident_memory_bytes")
            .unwrap_or_default()
    };
    let mut early = 0.0;
    settles("a thousand results", || {
        let actions = world.backend.actions();
        let heart = world.backend.last_heartbeat();
        let busy = heart.and_then(|it| it.get("in_progress").as_array().map(Vec::len));
        most = most.max(busy.unwrap_or_default());
        let open = actions.iter().filter(|it| it.result.is_none()).count();
        if early == 0.0 && open < 900 {
            early = memory();
        }
        match open {
            0 => Ok(()),
            open => Err(format!("{open} are open")),
        }
    });
    let late = memory();
    println!("at most {most} in progress; {early} bytes after a hundred, {late} after a thousand");
    assert!(late - early < f64::from(4 << 20), "flat within 4 MiB");
    let at_once = at_once(&agent.log());
    assert_eq!(at_once, 4, "as many as there are workers, and no more");
    // Four at work, the queue of 64, and what waits for the backend to take its result.
    assert!(most <= 64 + 4 + 64, "{most}");
    for action in world.backend.actions() {
        assert_eq!(action.result.as_ref().unwrap()["status"], "succeeded");
        assert_eq!(action.claims_granted, 1);
    }
    assert_eq!(world.writes().len(), 1000);
    world.assert_none_twice();
    agent.stop();
    world.backend.assert_no_violations();
}

/// How many actions were carried out at once, as the log tells of their beginnings and ends.
fn at_once(log: &str) -> i32 {
    let (mut now, mut most) = (0, 0);
    for line in log
        .lines()
        .filter(|it| it.contains(" - actuator - INFO - "))
    {
        if line.contains("Executing action ") {
            now += 1;
        } else if line.contains(" succeeded: ") {
            now -= 1;
        }
        most = most.max(now);
    }
    most
}
