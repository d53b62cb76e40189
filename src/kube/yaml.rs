//! YAML as far as a kubeconfig goes, read into a JSON value: what JSON has, in YAML's notations.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// No kubeconfig goes deeper; a file that does must not take the stack with it.
const MAX_DEPTH: usize = 64;
/// Repeated parts count as often as they are repeated, so that a small file cannot become a large value.
const MAX_NODES: usize = 100_000;

/// Reads the one document of `text`; null where there is none. The error says where, and quotes nothing.
pub fn read(text: &str) -> Result<Value, String> {
    let mut tree = Tree {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        match tree.next()? {
            None | Some(Event::StreamEnd) => return Ok(Value::Null),
            Some(Event::DocumentStart(..)) => break,
            Some(_) => (),
        }
    }
    let first = tree.next()?;
    let value = tree.node(first, 0)?;
    match (tree.next()?, tree.next()?) {
        (Some(Event::DocumentEnd), None | Some(Event::StreamEnd)) => Ok(value),
        _ => Err("more than one document".to_owned()),
    }
}

struct Tree<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
    nodes: usize,
}

impl<'a> Tree<'a> {
    fn next(&mut self) -> Result<Option<Event<'a>>, String> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok((event, _))) => Ok(Some(event)),
            Some(Err(err)) => {
                let at = err.marker();
                Err(format!(
                    "no YAML at line {} column {}",
                    at.line(),
                    at.col() + 1
                ))
            }
        }
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Option<Event<'a>>, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels"));
        }
        self.count(1)?;
        let (value, anchor) = match event {
            Some(Event::Scalar(text, style, anchor, tag)) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                (scalar(&text, plain), anchor)
            }
            Some(Event::SequenceStart(_, anchor, _)) => (self.sequence(depth)?, anchor),
            Some(Event::MappingStart(_, anchor, _)) => (self.mapping(depth)?, anchor),
            Some(Event::Alias(anchor)) => {
                let known = self.anchors.get(&anchor).cloned();
                let value = known.ok_or("an alias inside of what it names")?;
                self.count(size(&value))?;
                (value, 0)
            }
            _ => return Err("a value is missing".to_owned()),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                Some(Event::SequenceEnd) => return Ok(Value::Array(items)),
                event => items.push(self.node(event, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, String> {
        let mut members = Map::new();
        loop {
            let key = match self.next()? {
                Some(Event::MappingEnd) => return Ok(Value::Object(members)),
                Some(Event::Scalar(key, ..)) => key.into_owned(),
                _ => return Err("a key that is no text".to_owned()),
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            members.insert(key, value);
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values"));
        }
        Ok(())
    }
}

/// A number stays the text it is: no field of a kubeconfig is one, and a token may look like one.
fn scalar(text: &str, plain: bool) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        "true" | "True" | "TRUE" if plain => Value::Bool(true),
        "false" | "False" | "FALSE" if plain => Value::Bool(false),
        _ => Value::String(text.to_owned()),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_notations_that_kubeconfigs_use() {
        for (text, expected) in [
            ("", json!(null)),
            ("# nothing\n", json!(null)),
            (
                "a: b # why\nc: [d, 'e: f', \"g\\n\"]\n",
                json!({"a": "b", "c": ["d", "e: f", "g\n"]}),
            ),
            (
                "---\nitems:\n- name: x\n  on: true\n- {name: y, on: ~}\n",
                json!({"items": [{"name": "x", "on": true}, {"name": "y", "on": null}]}),
            ),
            (
                "{\"a\": {\"b\": [true, null, \"null\"]}}",
                json!({"a": {"b": [true, null, "null"]}}),
            ),
            (
                "token: 0123\nquoted: 'true'\n",
                json!({"token": "0123", "quoted": "true"}),
            ),
            (
                "a: |\n  one\n  two\nb: >-\n  one\n  two\n",
                json!({"a": "one\ntwo\n", "b": "one two"}),
            ),
            (
                "a: &x {b: c}\nd: *x\n",
                json!({"a": {"b": "c"}, "d": {"b": "c"}}),
            ),
        ] {
            assert_eq!(read(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_yaml_is_said_with_its_place_and_not_quoted() {
        for text in ["a: [secret", "a: 'secret", "secret: {\n- x", "a: b: secret"] {
            let err = read(text).unwrap_err();
            assert!(!err.contains("secret"), "{err}");
        }
        for text in ["[a, b]]", "a: b\n---\nc: d\n"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn neither_depth_nor_repetition_costs_the_process() {
        assert!(read(&"[".repeat(10_000)).is_err());
        let line = |n: usize| {
            let before = vec![format!("*a{n}"); 10].join(", ");
            format!("a{0}: &a{0} [{before}]", n + 1)
        };
        let mut lines = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]".to_owned()];
        lines.extend((0..20).map(line));
        let text = lines.join("\n");
        assert_eq!(read(&text), Err("more than 100000 values".to_owned()));
    }
}
