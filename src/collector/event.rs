//! Cluster events: what is read of one, and the sample made of it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cluster::text::{Text, null_is_default};
use crate::timestamp;

/// A longer message is cut (protocol, samples).
const MAX_MESSAGE: usize = 1024;

/// What is read of a core/v1 event, written by either events API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventObject<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    #[serde(rename = "type", borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    reason: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    involved_object: Involved<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    source: Source<'a>,
    #[serde(borrow, default)]
    reporting_component: Option<Text<'a>>,
    #[serde(default)]
    count: Option<i64>,
    #[serde(borrow, default)]
    first_timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    last_timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    event_time: Option<Text<'a>>,
    #[serde(borrow, default)]
    series: Option<Series<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow, default)]
    namespace: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow, default)]
    resource_version: Text<'a>,
    #[serde(borrow, default)]
    creation_timestamp: Option<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Involved<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Source<'a> {
    #[serde(borrow)]
    component: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series<'a> {
    #[serde(default)]
    count: i64,
    #[serde(borrow, default)]
    last_observed_time: Option<Text<'a>>,
}

/// An event as it is sent, owned: it waits for the next batch.
#[derive(Debug, Serialize, PartialEq)]
pub struct EventSample {
    kind: &'static str,
    uid: String,
    namespace: String,
    r#type: String,
    reason: String,
    message: String,
    object: EventTarget,
    source: String,
    count: i64,
    first_seen: String,
    last_seen: String,
}

#[derive(Debug, Serialize, PartialEq)]
struct EventTarget {
    kind: String,
    namespace: Option<String>,
    name: String,
    uid: Option<String>,
}

/// What makes an event new: its uid, and the count and time of its last occurrence. Hashes, stable over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// Of the uid.
    pub uid: u64,
    /// Of count and time.
    pub occurrence: u64,
}

fn owned(text: Option<&Text<'_>>) -> String {
    text.map(|it| it.to_string()).unwrap_or_default()
}

impl EventObject<'_> {
    /// The object's resource version.
    pub fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// The object's uid, hashed.
    pub fn uid_hash(&self) -> u64 {
        hash(&[self.metadata.uid.as_bytes()])
    }

    /// What makes it new.
    pub fn key(&self) -> EventKey {
        let occurrence = hash(&[
            &self.count().to_le_bytes(),
            self.last().unwrap_or_default().as_bytes(),
        ]);
        EventKey {
            uid: self.uid_hash(),
            occurrence,
        }
    }

    /// The sample of it.
    pub fn sample(&self) -> EventSample {
        let time = |text: Option<&str>| text.and_then(timestamp::normalised);
        let last = time(self.last()).unwrap_or_else(timestamp::now);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let source = self.source.component.as_ref().filter(|it| !it.is_empty());
        EventSample {
            kind: "event",
            uid: self.metadata.uid.to_string(),
            namespace: self.metadata.namespace.to_string(),
            r#type: owned(self.kind.as_ref()),
            reason: owned(self.reason.as_ref()),
            message: cut(self.message.as_deref().unwrap_or_default()).to_owned(),
            object: EventTarget {
                kind: self.involved_object.kind.to_string(),
                namespace: some(&self.involved_object.namespace),
                name: self.involved_object.name.to_string(),
                uid: some(&self.involved_object.uid),
            },
            source: owned(source.or(self.reporting_component.as_ref())),
            count: self.count(),
            first_seen: time(self.first()).unwrap_or_else(|| last.clone()),
            last_seen: last,
        }
    }

    /// Occurrences: of the series where the newer API wrote one, else the old counter, which starts at 1.
    fn count(&self) -> i64 {
        self.series
            .as_ref()
            .map(|it| it.count)
            .or(self.count)
            .unwrap_or(1)
            .max(1)
    }

    fn first(&self) -> Option<&str> {
        first_of([
            &self.first_timestamp,
            &self.event_time,
            &self.metadata.creation_timestamp,
        ])
    }

    fn last(&self) -> Option<&str> {
        let series = self
            .series
            .as_ref()
            .and_then(|it| it.last_observed_time.clone());
        match &series {
            Some(_) => self
                .series
                .as_ref()
                .and_then(|it| it.last_observed_time.as_deref()),
            None => first_of([
                &self.last_timestamp,
                &self.event_time,
                &self.metadata.creation_timestamp,
            ]),
        }
    }
}

fn first_of<'b>(times: [&'b Option<Text<'_>>; 3]) -> Option<&'b str> {
    times
        .into_iter()
        .flatten()
        .map(|it| &**it)
        .find(|it| !it.is_empty())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_MESSAGE)]
}

fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Events for the tests of what passes them on.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// One like any other.
    pub(in super::super) fn sample() -> EventSample {
        let text = r#"{"metadata":{"uid":"u"},"involvedObject":{}}"#;
        serde_json::from_str::<EventObject<'_>>(text)
            .map(|it| it.sample())
            .unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"metadata":{"name":"web.1","namespace":"a","uid":"u1","resourceVersion":"5","creationTimestamp":"2024-01-15T10:00:00Z"},
        "involvedObject":{"kind":"Pod","namespace":"a","name":"web","uid":"p1"},"reason":"BackOff","message":"Back-off","type":"Warning",
        "source":{"component":"kubelet","host":"n1"},"count":3,"firstTimestamp":"2024-01-15T10:00:00Z","lastTimestamp":"2024-01-15T10:05:00Z",
        "eventTime":null,"reportingComponent":"","reportingInstance":""}"#;
    const NEW: &str = r#"{"metadata":{"uid":"u2","namespace":"default"},"involvedObject":{"kind":"Node","name":"n1"},"reason":"Rebooted","type":"Normal",
        "eventTime":"2024-01-15T10:00:00.123456Z","reportingComponent":"cloud","series":{"count":7,"lastObservedTime":"2024-01-15T10:09:00.000000Z"},
        "firstTimestamp":null,"lastTimestamp":null}"#;

    fn parse(text: &str) -> EventObject<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn both_events_apis_are_understood() {
        let old = parse(OLD).sample();
        assert_eq!((old.count, old.source.as_str()), (3, "kubelet"));
        assert_eq!(
            (old.first_seen.as_str(), old.last_seen.as_str()),
            ("2024-01-15T10:00:00.000Z", "2024-01-15T10:05:00.000Z")
        );
        let new = parse(NEW).sample();
        assert_eq!((new.count, new.source.as_str()), (7, "cloud"));
        assert_eq!(
            (new.first_seen.as_str(), new.last_seen.as_str()),
            ("2024-01-15T10:00:00.123Z", "2024-01-15T10:09:00.000Z")
        );
        assert_eq!((new.object.namespace, new.object.uid), (None, None));
    }

    #[test]
    fn the_key_changes_with_count_and_time_alone() {
        let key = |text: &str| parse(text).key();
        assert_eq!(
            key(OLD),
            key(&OLD.replace("\"resourceVersion\":\"5\"", "\"resourceVersion\":\"9\""))
        );
        assert_ne!(key(OLD), key(&OLD.replace("\"count\":3", "\"count\":4")));
        assert_ne!(key(OLD), key(&OLD.replace("10:05:00", "10:06:00")));
        assert_ne!(key(OLD).uid, key(&OLD.replace("\"u1\"", "\"u3\"")).uid);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = "é".repeat(600);
        assert_eq!(cut(&text).len(), 1024);
        assert_eq!(cut(&format!("x{text}")).len(), 1023);
    }
}
