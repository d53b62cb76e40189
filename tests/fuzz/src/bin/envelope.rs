//! What comes off the wire: any bytes as a list, as an envelope, and as the payload of one that is signed well.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use kubernetes_agent::actions::envelope::RawEnvelope;
use kubernetes_agent::actions::keys::{Key, Keys};
use kubernetes_agent::actions::list::parse_list;
use kubernetes_agent::actions::verify::{Identity, verify};
use kubernetes_agent::secret::Secret;
use libfuzzer_sys::fuzz_target;
use sha2::Sha256;

const KEY: &str = "test-secret-key-0123456789abcdef";
const NOW: i64 = 1_767_225_600;

fn check(envelope: RawEnvelope, is_signed: bool) {
    let keys = Keys {
        current: Key::parse(&Secret::new(KEY)).expect("a key"),
        previous: None,
    };
    let identity = Identity {
        cluster_id: "prod-eu-1".into(),
        agent_id: "a".into(),
    };
    let verified = verify(&keys, &identity, NOW, envelope);
    assert!(is_signed || verified.is_err(), "proven without a signature");
}

fuzz_target!(|data: &[u8]| {
    if let Ok(list) = parse_list(data) {
        for envelope in list.envelopes.into_iter().flatten() {
            check(envelope, false);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(envelope) = RawEnvelope::parse(text) {
        check(envelope, false);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).expect("a key");
    mac.update(format!("act_0001.{NOW}.{text}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let signed = serde_json::json!({
        "id": "act_0001", "timestamp": NOW, "payload": text, "signature": signature,
    });
    if let Ok(envelope) = RawEnvelope::parse(&signed.to_string()) {
        check(envelope, true);
    }
});
