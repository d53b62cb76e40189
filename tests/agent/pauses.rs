//! Pauses that are kept, and waits that end: what a backend asks for, and an API server that does not answer.

use crate::common::eventually;
use crate::common::world::World;
use sandbox::apiserver::{Effect, Fault as ApiFault};
use sandbox::backend::{Endpoint, Fault};

#[test]
fn a_poll_is_not_made_sooner_than_the_backend_said_because_actions_wait() {
    let world = World::new(1, 5);
    // Nothing is pushed.
    world
        .backend
        .set_fault(Endpoint::WebSocket, Fault::status(404));
    world
        .backend
        .set_fault(Endpoint::Actions, Fault::retry_after(503, "4").times(1));
    let id = world.cordon(&world.nodes()[0]);
    let mut agent = world.setup.start();
    assert_eq!(world.result(&id)["status"], "succeeded");
    let polls: Vec<_> = world
        .backend
        .requests()
        .into_iter()
        .filter(|it| it.endpoint == Some(Endpoint::Actions))
        .collect();
    assert_eq!(polls[0].status, 503);
    // Each heartbeat, once a second, said that an action waits.
    let pause = polls[1].at.duration_since(polls[0].at).unwrap();
    assert!(pause.as_millis() >= 3900, "{pause:?}");
    agent.stop();
}

#[test]
fn an_api_server_that_answers_no_watch_is_named_in_health() {
    let world = World::new(1, 5);
    let watches = ApiFault::on("watch", "pods", Effect::Ignore);
    world.cluster.server.set_fault(watches);
    let mut agent = world.setup.start();
    let degraded = "kubernetes_agent_component_state{component=\"watch_pods\",state=\"degraded\"}";
    eventually("the watch is degraded", || {
        agent.metric(degraded) == Some(1.0)
    });
    eventually("the heartbeat names it", || {
        world.backend.last_heartbeat().is_some_and(|it| {
            let reason = it.component("watch_pods", "reason").as_str();
            reason.is_some_and(|it| it.contains("failed to watch pods: the API server"))
        })
    });
    assert_eq!(agent.get("/healthz").0, 200);
    agent.stop();
}
