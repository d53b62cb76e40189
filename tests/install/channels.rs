//! An action by each of the two channels, while the other brings nothing.

use sandbox::backend::{Backend, ChannelMode, Endpoint, Fault, NewAction};
use serde_json::json;

use super::common::eventually;
use super::node::{Forward, NAMESPACE, Node};

/// One is pushed and one is polled, as the agent itself counts them, and both take effect.
pub(crate) fn bring_an_action_each(node: &Node, backend: &Backend) {
    eventually("the WebSocket is connected", || backend.connected() == 1);
    let forward = Forward::start(node);
    let (pushed, polled) = (accepted(&forward, "pushed"), accepted(&forward, "polled"));

    // No poll is answered.
    backend.set_fault(Endpoint::Actions, Fault::status(503));
    label(node, backend, "pushed");
    backend.clear_fault(Endpoint::Actions);
    assert_eq!(accepted(&forward, "pushed"), pushed + 1);
    assert_eq!(accepted(&forward, "polled"), polled);

    let mode = backend.channel_mode();
    backend.set_channel_mode(ChannelMode {
        pushes: false,
        ..mode.clone()
    });
    label(node, backend, "polled");
    backend.set_channel_mode(mode);
    assert_eq!(accepted(&forward, "pushed"), pushed + 1);
    assert_eq!(accepted(&forward, "polled"), polled + 1);
}

/// Has the agent's namespace labelled, and sees the label there.
fn label(node: &Node, backend: &Backend, channel: &str) {
    let params =
        json!({"kind": "namespace", "name": NAMESPACE, "labels": {"example.org/channel": channel}});
    let action = NewAction {
        cluster_id: Some("my-cluster".to_owned()),
        ..NewAction::new("label_resource", params)
    };
    let id = backend.create_action(&action).unwrap().id;
    eventually(&format!("the result of what is {channel}"), || {
        backend.result(&id).is_some()
    });
    let result = backend.result(&id).unwrap();
    assert_eq!(result["status"], "succeeded", "{result:#}");
    let namespace = node.json(&format!("namespace {NAMESPACE}"));
    assert_eq!(
        namespace["metadata"]["labels"]["example.org/channel"],
        channel
    );
    println!("{channel}: {id} {}", result["status"]);
}

/// How many envelopes the agent has taken from this channel, as its `/metrics` say.
fn accepted(forward: &Forward, channel: &str) -> u64 {
    let metric =
        format!("kubernetes_agent_envelopes_total{{channel=\"{channel}\",outcome=\"accepted\"}} ");
    let text = forward.get("/metrics");
    // What has not happened yet is not counted.
    let count = text.lines().find_map(|it| it.strip_prefix(&metric));
    count.map_or(0, |it| it.parse().unwrap())
}
