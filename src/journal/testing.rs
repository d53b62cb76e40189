//! What the tests of the journal share.

use serde_json::json;

use crate::actions::envelope::RawEnvelope;
use crate::actions::id::EnvelopeId;
use crate::actions::keys::{Key, Keys};
use crate::actions::outcome::ResultBody;
use crate::actions::verify::{Identity, Verified, verify};
use crate::secret::Secret;

/// The present of the tests, in unix seconds.
pub(super) const NOW: i64 = 1_767_225_600;
/// When their orders expire.
pub(super) const EXPIRES_AT: i64 = NOW + 600;

pub(super) fn id(text: &str) -> EnvelopeId {
    EnvelopeId::parse(text).expect("an id")
}

/// A proven order to cordon `node`.
pub(super) fn order(id: &str, node: &str) -> Verified {
    let key = Key::parse(&Secret::new("a key for the journal's tests")).expect("a key");
    let keys = Keys {
        current: key,
        previous: None,
    };
    let payload = json!({
        "type": "action.v1", "id": id, "cluster_id": "c", "expires_at": EXPIRES_AT,
        "action": "cordon_node", "params": {"node": node},
    });
    let envelope = RawEnvelope::signed(&keys, id, NOW, &payload.to_string());
    let identity = Identity {
        cluster_id: "c".into(),
        agent_id: "a".into(),
    };
    verify(&keys, &identity, NOW, envelope).expect("proven")
}

/// A result of any text.
pub(super) fn body(text: &str) -> ResultBody {
    serde_json::from_value(text.into()).expect("a result")
}
