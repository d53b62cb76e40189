//! The params of every action: the first byte chooses it, the rest is JSON. What is read must name its target.
#![no_main]

use kubernetes_agent::actions::action::{Action, ActionKind};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Some((choice, json)) = data.split_first() else { return };
    let kind = ActionKind::ALL[usize::from(*choice) % ActionKind::ALL.len()];
    let Ok(Value::Object(params)) = serde_json::from_slice(json) else { return };
    match Action::parse(kind, params) {
        Ok(action) => assert!(action.kind() == kind && !action.target().to_string().is_empty()),
        // A fault is said in one line, however the value was written.
        Err(fault) => assert!(fault.to_string().len() < 4096),
    }
});
