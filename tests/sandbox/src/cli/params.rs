//! The params of an order as people type them: `--pod-uid X` is the param `pod_uid`, a whole number is a number.

use serde_json::{Map, Value};

use super::options::Command;
use super::order::Action;

/// Members that hold a number.
const NUMBERS: [&str; 9] = [
    "grace_period_seconds",
    "timeout_seconds",
    "max_parallel",
    "replicas",
    "expected_replicas",
    "collection_interval",
    "action_poll_interval",
    "batch_size",
    "config_version",
];
/// Members that hold a truth value; `true` where nothing follows.
const SWITCHES: [&str; 6] = [
    "force",
    "delete_emptydir_data",
    "ignore_daemonsets",
    "allow_zero",
    "override_hpa",
    "dry_run",
];

/// What stands after `action` or `settings`: the names of the order and its members.
pub(crate) fn parse(
    command: &str,
    arguments: impl Iterator<Item = String>,
) -> Result<Command, Vec<String>> {
    let mut arguments = arguments.peekable();
    let mut faults = Vec::new();
    let name = match command {
        "action" => arguments.next_if(|it| !it.starts_with('-')),
        _ => Some(String::new()),
    };
    let mut members = Map::new();
    let mut backend = None;
    while let Some(argument) = arguments.next() {
        if matches!(argument.as_str(), "--help" | "-h") {
            return Ok(Command::Help);
        }
        let Some(option) = argument.strip_prefix("--") else {
            faults.push(format!("{argument:?}: expected --NAME VALUE"));
            continue;
        };
        let (option, inline) = match option.split_once('=') {
            Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
            None => (option.to_owned(), None),
        };
        let member = option.replace('-', "_");
        let is_switch = SWITCHES.contains(&member.as_str());
        let value = inline.or_else(|| arguments.next_if(|it| !it.starts_with("--")));
        let Some(value) = value.or_else(|| is_switch.then(|| "true".to_owned())) else {
            faults.push(format!("--{option}: expected a value, got nothing"));
            continue;
        };
        match (member.as_str(), read(&member, &value)) {
            ("backend", _) => backend = Some(value),
            ("label", _) => faults.extend(label(&mut members, &value).err()),
            (_, Ok(value)) => {
                members.insert(member, value);
            }
            (_, Err(expected)) => {
                faults.push(format!("--{option}: expected {expected}, got {value:?}"));
            }
        }
    }
    let Some(name) = name else {
        faults.push("action: expected the action's name, such as drain_node".to_owned());
        return Err(faults);
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    if command == "settings" {
        return Ok(Command::Set {
            settings: members,
            backend,
        });
    }
    let dry_run = members.remove("dry_run") == Some(Value::Bool(true));
    Ok(Command::Act {
        action: Action {
            name,
            params: members,
            dry_run,
        },
        backend,
    })
}

fn read(member: &str, value: &str) -> Result<Value, &'static str> {
    if NUMBERS.contains(&member) {
        return value
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| "a whole number");
    }
    if SWITCHES.contains(&member) {
        return value.parse().map(Value::Bool).map_err(|_| "true or false");
    }
    Ok(Value::from(value))
}

/// `key=value` sets a label, `key-` removes it, as kubectl has it.
fn label(members: &mut Map<String, Value>, text: &str) -> Result<(), String> {
    let (key, value) = match (text.split_once('='), text.strip_suffix('-')) {
        (Some((key, value)), _) => (key, Value::from(value)),
        (None, Some(key)) => (key, Value::Null),
        (None, None) => {
            return Err(format!(
                "--label: expected KEY=VALUE, or KEY- to remove it, got {text:?}"
            ));
        }
    };
    let labels = members
        .entry("labels")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(key.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(command: &str, line: &str) -> Result<Command, Vec<String>> {
        parse(command, line.split_whitespace().map(str::to_owned))
    }

    fn action(line: &str) -> (String, Value, bool) {
        match parsed("action", line) {
            Ok(Command::Act { action, .. }) => {
                (action.name, Value::Object(action.params), action.dry_run)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn params_are_typed_by_their_names() {
        for (line, name, params, dry_run) in [
            (
                "drain_node --node node-1",
                "drain_node",
                json!({"node": "node-1"}),
                false,
            ),
            (
                "scale_deployment --namespace default --name=web --replicas 3 --allow-zero --dry-run",
                "scale_deployment",
                json!({"namespace": "default", "name": "web", "replicas": 3, "allow_zero": true}),
                true,
            ),
            (
                "label_resource --kind node --name node-1 --label pool=spot --label old-",
                "label_resource",
                json!({"kind": "node", "name": "node-1", "labels": {"pool": "spot", "old": null}}),
                false,
            ),
            // The agent is to refuse what it does not know.
            (
                "reboot --node node-1 --how 7",
                "reboot",
                json!({"node": "node-1", "how": "7"}),
                false,
            ),
        ] {
            assert_eq!(action(line), (name.to_owned(), params, dry_run), "{line}");
        }
    }

    #[test]
    fn settings_have_no_name() {
        let Ok(Command::Set { settings, backend }) =
            parsed("settings", "--collection-interval 30 --backend http://b")
        else {
            panic!("settings");
        };
        assert_eq!(Value::Object(settings), json!({"collection_interval": 30}));
        assert_eq!(backend.as_deref(), Some("http://b"));
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(
            parsed("action", "--replicas many --node --label x stray"),
            Err(vec![
                "--replicas: expected a whole number, got \"many\"".to_owned(),
                "--node: expected a value, got nothing".to_owned(),
                "--label: expected KEY=VALUE, or KEY- to remove it, got \"x\"".to_owned(),
                "\"stray\": expected --NAME VALUE".to_owned(),
                "action: expected the action's name, such as drain_node".to_owned(),
            ])
        );
    }
}
