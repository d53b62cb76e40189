//! Reads a message member by member and notes everything that is not as the protocol says.
//!
//! A fault does not end the reading: whoever wrote the message wants to hear of all of them at once. The
//! value given back for a member at fault is an empty one, and is not to be used.

use std::cell::RefCell;
use std::fmt;

use serde_json::{Map, Value};

/// What a text has to be.
pub(super) struct Rule {
    /// As it stands in the answer.
    pub(super) expected: &'static str,
    /// Whether a text is so.
    pub(super) holds: fn(&str) -> bool,
}

/// Where a value stands, spelled out only when something is wrong with it.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Root => Ok(()),
            Place::Member(Place::Root, name) => f.write_str(name),
            Place::Member(parent, name) => write!(f, "{parent}.{name}"),
            Place::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Everything wrong with one message.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<String>>);

impl Faults {
    /// Notes one; `what` begins with what was expected.
    pub(super) fn add(&self, place: &Place<'_>, what: impl fmt::Display) {
        let text = match place {
            Place::Root => what.to_string(),
            place => format!("{place}: {what}"),
        };
        self.0.borrow_mut().push(text);
    }

    /// All of them, in the order of the message.
    pub(super) fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// A JSON object that is being read.
#[derive(Clone, Copy)]
pub(super) struct Members<'a> {
    map: &'a Map<String, Value>,
    place: &'a Place<'a>,
    faults: &'a Faults,
}

impl<'a> Members<'a> {
    /// The value as an object; notes that it is none.
    pub(super) fn of(
        value: &'a Value,
        place: &'a Place<'a>,
        faults: &'a Faults,
    ) -> Option<Members<'a>> {
        if let Some(map) = value.as_object() {
            return Some(Members { map, place, faults });
        }
        faults.add(place, "expected an object");
        None
    }

    /// Notes a fault of this member.
    pub(super) fn fault(&self, name: &str, what: impl fmt::Display) {
        self.faults.add(&Place::Member(self.place, name), what);
    }

    /// Whether the member is there at all, for those that may be missing.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// Whether the member is there and null, for those that may be.
    pub(super) fn is_null(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(Value::is_null)
    }

    /// Reads a member; notes that it is missing or not what was expected.
    fn read<T: Default>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> T {
        match self.map.get(name) {
            None => self.fault(name, "missing"),
            Some(value) => match read(value) {
                Some(read) => return read,
                None => self.fault(
                    name,
                    format_args!("expected {expected}, got {}", shown(value)),
                ),
            },
        }
        T::default()
    }

    /// A text of this form.
    pub(super) fn text(&self, name: &str, rule: &Rule) -> &'a str {
        self.read(name, rule.expected, |value| {
            value.as_str().filter(|text| (rule.holds)(text))
        })
    }

    /// A text of this form, if the member is there.
    pub(super) fn optional_text(&self, name: &str, rule: &Rule) -> Option<&'a str> {
        self.has(name).then(|| self.text(name, rule))
    }

    /// A text of this form, or null.
    pub(super) fn nullable_text(&self, name: &str, rule: &Rule) -> Option<&'a str> {
        if self.is_null(name) {
            return None;
        }
        Some(self.text(name, rule))
    }

    /// A text of at most so many bytes.
    pub(super) fn short_text(&self, name: &str, max: usize) -> &'a str {
        let expected = format!("a text of at most {max} bytes");
        self.read(name, &expected, |value| {
            value.as_str().filter(|text| text.len() <= max)
        })
    }

    /// One of these words.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> &'a str {
        let expected = || format!("one of {}", words.join(", "));
        match self.map.get(name).and_then(Value::as_str) {
            Some(word) if words.contains(&word) => word,
            _ => self.read(name, &expected(), |_| None),
        }
    }

    /// A whole number of at least `min`.
    pub(super) fn integer(&self, name: &str, min: u64) -> u64 {
        match self.map.get(name).and_then(Value::as_u64) {
            Some(number) if number >= min => number,
            _ => self.read(name, &format!("an integer of at least {min}"), |_| None),
        }
    }

    /// A whole number, also below zero, or null.
    pub(super) fn nullable_signed(&self, name: &str) -> Option<i64> {
        self.read(name, "an integer or null", |value| {
            if value.is_null() {
                Some(None)
            } else {
                value.as_i64().map(Some)
            }
        })
    }

    /// A number of at least zero.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.read(name, "a number of at least 0", |value| {
            value.as_f64().filter(|number| *number >= 0.0)
        })
    }

    /// true or false.
    pub(super) fn boolean(&self, name: &str) -> bool {
        self.read(name, "true or false", Value::as_bool)
    }

    /// Reads the object that the member is, if it is one.
    pub(super) fn object(&self, name: &str, read: impl FnOnce(Members<'_>)) {
        let Some(value) = self.map.get(name) else {
            return self.fault(name, "missing");
        };
        let place = Place::Member(self.place, name);
        if let Some(members) = Members::of(value, &place, self.faults) {
            read(members);
        }
    }

    /// Reads each value of the object that the member is.
    pub(super) fn entries(
        &self,
        name: &str,
        mut read: impl FnMut(&str, &Value, &Place<'_>, &Faults),
    ) {
        self.object(name, |members| {
            for (key, value) in members.map {
                read(
                    key,
                    value,
                    &Place::Member(members.place, key),
                    members.faults,
                );
            }
        });
    }

    /// Reads each item of the list that the member is; it has at least `min` and at most `max`.
    pub(super) fn items(
        &self,
        name: &str,
        min: usize,
        max: usize,
        mut read: impl FnMut(&'a Value, &Place<'_>, &Faults),
    ) -> usize {
        let place = Place::Member(self.place, name);
        let Some(value) = self.map.get(name) else {
            self.fault(name, "missing");
            return 0;
        };
        let Some(items) = value.as_array() else {
            self.fault(name, "expected a list");
            return 0;
        };
        if items.len() < min || items.len() > max {
            self.fault(
                name,
                format_args!("expected {min} to {max} items, got {}", items.len()),
            );
        }
        for (index, item) in items.iter().enumerate() {
            read(item, &Place::Item(&place, index), self.faults);
        }
        items.len()
    }

    /// Notes every member that is none of these.
    pub(super) fn only(&self, names: &[&str]) {
        // Counted first: nearly always there is nothing to say.
        if self.map.len() > names.len() || !self.map.keys().all(|key| names.contains(&key.as_str()))
        {
            for key in self.map.keys().filter(|key| !names.contains(&key.as_str())) {
                self.fault(key, "not a member of this object");
            }
        }
    }
}

/// A value as it stands in a fault: short, so that no answer echoes a whole message.
fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > 80 {
        let end = (0..=77)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests;
