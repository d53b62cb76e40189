//! Is an envelope for us and from our backend? The only way to a [`Verified`] one (protocol, section 1).
//!
//! The signature is checked before the payload is parsed. What fails before everything about the envelope is
//! proven is a [`Refusal`]: it is never claimed and never gets a result, because anybody on the path could have
//! made it. What is proven and still cannot be carried out is a [`ProvenRefusal`] inside the [`Verified`] one:
//! the backend is told, by a result or by a `config_status`.

use serde_json::{Map, Value};

use super::action::{Action, ActionKind};
use super::envelope::RawEnvelope;
use super::id::{EnvelopeId, PayloadHash};
use super::keys::Keys;
use super::members::{excerpt, printable};
use super::refusal::{NotProven, ProvenRefusal, Refusal};
use super::settings::Settings;
use super::strict_json;

/// How far the backend's clock may be ahead of ours, in seconds.
pub const MAX_AHEAD_SECONDS: i64 = 300;
/// The longest life of an envelope, in seconds.
pub const MAX_LIFE_SECONDS: i64 = 86_400;
/// The longest `reason` kept of an action, in bytes.
const MAX_REASON_BYTES: usize = 256;

/// Whom an envelope must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `CLUSTER_ID`.
    pub cluster_id: String,
    /// This agent's own id.
    pub agent_id: String,
}

/// What a proven envelope asks for.
#[derive(Clone, Debug)]
pub enum Order {
    /// `action.v1`.
    Action(ActionOrder),
    /// `config.v1`.
    Settings(SettingsOrder),
}

/// An action to carry out, or why not.
#[derive(Clone, Debug)]
pub struct ActionOrder {
    /// Which action it is; none for a name that is not one of ours.
    pub kind: Option<ActionKind>,
    /// The action with its params.
    pub action: Result<Action, ProvenRefusal>,
    /// True if everything is to be checked and nothing written.
    pub dry_run: bool,
    /// Why the backend wants it, for logs and events: printable, at most 256 bytes.
    pub reason: Option<String>,
}

/// Settings to apply, or why not.
#[derive(Clone, Debug)]
pub struct SettingsOrder {
    /// `config_version`: it must be above the one in force.
    pub version: u64,
    /// The settings.
    pub settings: Result<Settings, ProvenRefusal>,
}

/// An envelope that is for this agent and from its backend: only [`verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    envelope: RawEnvelope,
    payload_hash: PayloadHash,
    expires_at: i64,
    order: Order,
}

impl Verified {
    /// The id: names the order in every message about it.
    pub fn id(&self) -> &EnvelopeId {
        self.envelope.id()
    }

    /// The envelope itself, for the journal: after a restart it is verified again.
    pub fn envelope(&self) -> &RawEnvelope {
        &self.envelope
    }

    /// The SHA-256 of the payload, as claim and result repeat it.
    pub fn payload_hash(&self) -> PayloadHash {
        self.payload_hash
    }

    /// From this time on the order must not be begun; unix seconds.
    pub fn expires_at(&self) -> i64 {
        self.expires_at
    }

    /// True if the order must not be begun any more. It can have expired since it was verified.
    pub fn is_expired(&self, now: i64) -> bool {
        now >= self.expires_at
    }

    /// What it asks for.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// What it asks for, leaving the envelope behind.
    pub fn into_order(self) -> Order {
        self.order
    }
}

/// Proves an envelope. `now` is in unix seconds.
///
/// Whether its id is already known is the journal's to say: [`Known`](super::known::Known).
pub fn verify(
    keys: &Keys,
    identity: &Identity,
    now: i64,
    envelope: RawEnvelope,
) -> Result<Verified, Refusal> {
    match prove(keys, identity, now, &envelope) {
        Ok((expires_at, order)) => {
            let payload_hash = envelope.payload_hash();
            Ok(Verified {
                envelope,
                payload_hash,
                expires_at,
                order,
            })
        }
        Err((reason, detail)) => Err(Refusal {
            id: Some(envelope.id().clone()),
            reason,
            detail,
        }),
    }
}

type Proof<T> = Result<T, (NotProven, &'static str)>;

fn prove(
    keys: &Keys,
    identity: &Identity,
    now: i64,
    envelope: &RawEnvelope,
) -> Proof<(i64, Order)> {
    let timestamp = envelope.timestamp();
    let id = envelope.id().as_str();
    let payload = envelope.payload();

    let decimal = timestamp.to_string();
    let signed = [
        id.as_bytes(),
        b".",
        decimal.as_bytes(),
        b".",
        payload.as_bytes(),
    ];
    if !keys.have_signed(&signed, &envelope.signatures()) {
        return Err((NotProven::BadSignature, "no key made its signature"));
    }

    let malformed = |detail| (NotProven::Malformed, detail);
    let mut members = strict_json::parse_object(payload).ok_or(malformed(
        "payload is no JSON object, or has a member twice",
    ))?;
    if text(&mut members, "id").ok_or(malformed("payload.id is missing or no text"))? != id {
        return Err(malformed("payload.id is not the envelope's"));
    }
    let cluster_id = text(&mut members, "cluster_id")
        .ok_or(malformed("payload.cluster_id is missing or no text"))?;
    if cluster_id != identity.cluster_id {
        return Err((NotProven::WrongCluster, "it is for another cluster"));
    }
    match members.remove("agent_id") {
        None => (),
        Some(Value::String(agent_id)) if agent_id == identity.agent_id => (),
        Some(Value::String(_)) => {
            return Err((NotProven::WrongAgent, "it is for another agent"));
        }
        Some(_) => return Err(malformed("payload.agent_id is no text")),
    }

    let expires_at = members
        .remove("expires_at")
        .and_then(|value| value.as_i64())
        .ok_or(malformed(
            "payload.expires_at is missing or no whole number",
        ))?;
    if expires_at <= timestamp {
        return Err(malformed("payload.expires_at is not after the timestamp"));
    }
    if expires_at.saturating_sub(timestamp) > MAX_LIFE_SECONDS {
        return Err((NotProven::TtlTooLong, "it would live longer than a day"));
    }
    if timestamp > now.saturating_add(MAX_AHEAD_SECONDS) {
        return Err((
            NotProven::NotYetValid,
            "its timestamp is over 300 s in the future",
        ));
    }

    let is_expired = now >= expires_at;
    let order = match text(&mut members, "type").as_deref() {
        Some("action.v1") => Order::Action(action_order(members, is_expired).map_err(malformed)?),
        Some("config.v1") => {
            Order::Settings(settings_order(members, is_expired).map_err(malformed)?)
        }
        Some(_) => {
            return Err((
                NotProven::Unsupported,
                "its type is neither action.v1 nor config.v1",
            ));
        }
        None => return Err(malformed("payload.type is missing or no text")),
    };
    Ok((expires_at, order))
}

/// Takes a text out of an object.
fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Reads what only an action has. An error is malformed; bad params are proven and thus no error.
fn action_order(
    mut members: Map<String, Value>,
    is_expired: bool,
) -> Result<ActionOrder, &'static str> {
    let name = text(&mut members, "action").ok_or("payload.action is missing or no text")?;
    let Some(Value::Object(params)) = members.remove("params") else {
        return Err("payload.params is missing or no object");
    };
    let dry_run = match members.remove("dry_run") {
        None => false,
        Some(Value::Bool(dry_run)) => dry_run,
        // Never guessed: whoever wrote it did not want the plain action.
        Some(_) => return Err("payload.dry_run is neither true nor false"),
    };
    let reason = match members.remove("reason") {
        None => None,
        Some(Value::String(reason)) => Some(printable(&reason, MAX_REASON_BYTES)),
        Some(_) => return Err("payload.reason is no text"),
    };
    let kind = ActionKind::parse(&name);
    let action = if is_expired {
        Err(ProvenRefusal::Expired)
    } else {
        match kind {
            Some(kind) => Action::parse(kind, params).map_err(ProvenRefusal::InvalidParams),
            None => Err(ProvenRefusal::Unsupported {
                name: excerpt(&Value::String(name)),
            }),
        }
    };
    Ok(ActionOrder {
        kind,
        action,
        dry_run,
        reason,
    })
}

/// Reads what only settings have.
fn settings_order(
    mut members: Map<String, Value>,
    is_expired: bool,
) -> Result<SettingsOrder, &'static str> {
    let version = members
        .remove("config_version")
        .and_then(|value| value.as_u64())
        .ok_or("payload.config_version is missing or no whole number")?;
    let Some(Value::Object(settings)) = members.remove("settings") else {
        return Err("payload.settings is missing or no object");
    };
    let settings = if is_expired {
        Err(ProvenRefusal::Expired)
    } else {
        Settings::parse(settings).map_err(ProvenRefusal::InvalidParams)
    };
    Ok(SettingsOrder { version, settings })
}

#[cfg(test)]
mod tests;
