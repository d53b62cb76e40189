//! Signs what the backend asks of an agent (protocol, section 1).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A signed message: an action or settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Unique for ever.
    pub id: String,
    /// When it was signed, in unix seconds.
    pub timestamp: i64,
    /// A JSON object as text; it is this text that is signed.
    pub payload: String,
    /// `v1,` and the HMAC in base64, once for each key.
    pub signature: String,
}

impl Envelope {
    /// Signs a payload with every key, as is done while a key is being replaced.
    pub fn sign(keys: &[Key], id: &str, timestamp: i64, payload: String) -> Envelope {
        let signatures: Vec<String> = keys
            .iter()
            .map(|key| format!("v1,{}", STANDARD.encode(key.mac(id, timestamp, &payload))))
            .collect();
        Envelope {
            id: id.to_owned(),
            timestamp,
            payload,
            signature: signatures.join(" "),
        }
    }

    /// What a claim and a result name the payload by.
    pub fn payload_sha256(&self) -> String {
        sha256_hex(self.payload.as_bytes())
    }
}

/// A signing key, from `SECRET_KEY` in either of its forms.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// The bytes of the text, or what `whsec_` and base64 stand for.
    pub fn parse(secret: &str) -> Result<Key, base64::DecodeError> {
        let secret = secret.trim_end_matches(['\r', '\n']);
        match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).map(Key),
            None => Ok(Key(secret.as_bytes().to_vec())),
        }
    }

    fn mac(&self, id: &str, timestamp: i64, payload: &str) -> Vec<u8> {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return Vec::new();
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(payload.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(<redacted>)")
    }
}

/// An action to be made. What is not said is filled in when it is created.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewAction {
    /// The action's name; any text, because tests also ask for what does not exist.
    pub action: String,
    /// Its params, unchecked for the same reason.
    pub params: Value,
    /// For this cluster; the backend's own if not said.
    pub cluster_id: Option<String>,
    /// Only for this agent.
    pub agent_id: Option<String>,
    /// To be checked but not executed.
    pub dry_run: Option<bool>,
    /// Why, for a person.
    pub reason: Option<String>,
    /// An id; a fresh one if not said.
    pub id: Option<String>,
    /// When it is signed, in unix seconds; now if not said.
    pub timestamp: Option<i64>,
    /// How long after that it expires, in seconds; ten minutes if not said.
    pub ttl_seconds: Option<i64>,
}

impl NewAction {
    /// An action of this name with these params.
    pub fn new(action: &str, params: Value) -> NewAction {
        NewAction {
            action: action.to_owned(),
            params,
            ..NewAction::default()
        }
    }

    /// The text to sign.
    pub(super) fn payload(&self, id: &str, cluster_id: &str, expires_at: i64) -> String {
        let mut payload = Map::new();
        payload.insert("type".into(), json!("action.v1"));
        payload.insert("id".into(), json!(id));
        payload.insert("cluster_id".into(), json!(cluster_id));
        payload.insert("expires_at".into(), json!(expires_at));
        payload.insert("action".into(), json!(self.action));
        payload.insert("params".into(), self.params.clone());
        if let Some(agent_id) = &self.agent_id {
            payload.insert("agent_id".into(), json!(agent_id));
        }
        if let Some(dry_run) = self.dry_run {
            payload.insert("dry_run".into(), json!(dry_run));
        }
        if let Some(reason) = &self.reason {
            payload.insert("reason".into(), json!(reason));
        }
        Value::Object(payload).to_string()
    }
}

/// Settings to be made. What is not said is filled in when they are created.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewSettings {
    /// The settings, unchecked: tests also send bad ones.
    pub settings: Value,
    /// Their version; one above the highest so far if not said.
    pub config_version: Option<i64>,
    /// For this cluster; the backend's own if not said.
    pub cluster_id: Option<String>,
    /// Only for this agent.
    pub agent_id: Option<String>,
    /// An id; a fresh one if not said.
    pub id: Option<String>,
    /// When they are signed, in unix seconds; now if not said.
    pub timestamp: Option<i64>,
    /// How long after that they expire, in seconds; ten minutes if not said.
    pub ttl_seconds: Option<i64>,
}

impl NewSettings {
    /// These settings, with the next version.
    pub fn new(settings: Value) -> NewSettings {
        NewSettings {
            settings,
            ..NewSettings::default()
        }
    }

    /// The text to sign.
    pub(super) fn payload(
        &self,
        id: &str,
        cluster_id: &str,
        expires_at: i64,
        version: i64,
    ) -> String {
        let mut payload = json!({
            "type": "config.v1",
            "id": id,
            "cluster_id": cluster_id,
            "expires_at": expires_at,
            "config_version": version,
            "settings": self.settings,
        });
        if let Some(agent_id) = &self.agent_id {
            payload["agent_id"] = json!(agent_id);
        }
        payload.to_string()
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const K1: &str = "test-secret-key-0123456789abcdef";
    const K2: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn sign(secrets: &[&str], id: &str, payload: &str) -> Envelope {
        let keys: Vec<Key> = secrets
            .iter()
            .map(|secret| Key::parse(secret).unwrap())
            .collect();
        Envelope::sign(&keys, id, 1_767_225_600, payload.to_owned())
    }

    /// The vectors of protocol, section 1.
    #[test]
    fn signs_the_protocols_vectors() {
        let first = r#"{"type":"action.v1","id":"act_0001","cluster_id":"prod-eu-1","expires_at":1767226200,"action":"cordon_node","params":{"node":"worker-7","node_uid":"5f0c1d4e-0000-4000-8000-000000000007"}}"#;
        let envelope = sign(&[K1], "act_0001", first);
        assert_eq!(
            envelope.signature,
            "v1,cZi2few/Hwk3mLAumZ8lhmscGmiXEZxz71RrA5yaRaQ="
        );
        assert_eq!(first.len(), 187);
        let sha256 = "d74e2c712bb826e2123cc96855c491e2a7fbc04b5d3dfdef309538fd2ca8f9d3";
        assert_eq!(envelope.payload_sha256(), sha256);

        let second = r#"{"type":"action.v1","id":"act_0002","cluster_id":"prod-eu-1","expires_at":1767226200,"action":"scale_deployment","params":{"namespace":"café","name":"web","replicas":3,"expected_replicas":5}}"#;
        assert_eq!(second.len(), 192);
        let both = sign(&[K1, K2], "act_0002", second);
        assert_eq!(
            both.signature,
            "v1,aEMzk55S++Ll4QBPDVmyEpkmavxJ9yZwS2e31ZjhKGI= v1,54rEJ68dlyBYy2vEEbJUrZ70mYUAmNKRpxnG7WOYQ1g="
        );
    }

    #[test]
    fn a_key_loses_its_line_end_and_is_never_shown() {
        assert_eq!(
            sign(&["0123456789abcdef\r\n"], "a", "{}"),
            sign(&["0123456789abcdef"], "a", "{}")
        );
        assert!(Key::parse("whsec_not base64").is_err());
        assert_eq!(format!("{:?}", Key::parse(K1).unwrap()), "Key(<redacted>)");
    }

    #[test]
    fn a_payload_says_what_was_asked_for_and_no_more() {
        let mut action = NewAction::new("cordon_node", json!({"node": "n"}));
        let payload: Value = serde_json::from_str(&action.payload("a", "c", 9)).unwrap();
        let expected = json!({"type": "action.v1", "id": "a", "cluster_id": "c", "expires_at": 9,
            "action": "cordon_node", "params": {"node": "n"}});
        assert_eq!(payload, expected);
        action.dry_run = Some(true);
        action.agent_id = Some("x".into());
        let payload: Value = serde_json::from_str(&action.payload("a", "c", 9)).unwrap();
        assert_eq!(
            (&payload["dry_run"], &payload["agent_id"]),
            (&json!(true), &json!("x"))
        );
    }
}
