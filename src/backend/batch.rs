//! Batches of samples: serialized and compressed once, so that every retry sends the same bytes.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::gzip::Zip;
use super::json::{Json, Sample};
use super::protocol::{BatchHead, Identity};
use crate::ids::uuid;
use crate::timestamp;

/// A batch ready to be sent.
#[derive(Debug)]
pub struct Batch {
    /// Its idempotency key, a UUID.
    pub id: String,
    /// Its number within the run: a smaller one is older.
    pub seq: u64,
    /// The compressed body.
    pub body: Vec<u8>,
    /// How many samples are in it.
    pub samples: u64,
    /// Told what became of it.
    pub receipt: Option<Arc<dyn Receipt>>,
}

/// Whoever wants to know what became of the samples of a batch.
pub trait Receipt: std::fmt::Debug + Send + Sync {
    /// The backend has them.
    fn delivered(&self, samples: u64);
    /// The backend will never take them.
    fn refused(&self, samples: u64);
}

/// Numbers the batches of a run, beginning with 1.
#[derive(Debug, Default)]
pub struct Sequence(AtomicU64);

impl Sequence {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Gathers samples into batches of at most `size`.
pub struct Batcher {
    identity: Identity,
    sequence: Arc<Sequence>,
    size: usize,
    json: Json,
    id: String,
    seq: u64,
    count: u64,
    /// When the first sample came.
    began: String,
    /// When the cycle under way began.
    cycle: Option<String>,
    zip: Zip,
}

impl Batcher {
    /// Nothing gathered yet.
    pub fn new(identity: Identity, sequence: Arc<Sequence>, size: usize) -> Self {
        Self {
            identity,
            sequence,
            size,
            json: Json::default(),
            id: String::new(),
            seq: 0,
            count: 0,
            began: String::new(),
            cycle: None,
            zip: Zip::new(),
        }
    }

    /// A collection cycle begins: all batches taken until its end tell this moment, so that the backend can put
    /// them together again.
    pub fn cycle_began(&mut self) {
        self.cycle = Some(timestamp::now());
    }

    /// The cycle is over. What is gathered from now on tells when its first sample came, or the next cycle's begin.
    pub fn cycle_ended(&mut self) {
        self.cycle = None;
    }

    /// From the next batch on, at most `size` samples stand in one.
    pub fn resize(&mut self, size: usize) {
        self.size = size;
    }

    /// Adds a sample. When the batch is full, call [`Batcher::take`].
    pub fn add(&mut self, sample: &impl Sample) {
        if self.count == 0 {
            self.id = uuid();
            self.seq = self.sequence.next();
            self.began = timestamp::now();
            self.json.clear();
            self.json.raw(OPENING);
        } else {
            self.json.raw(",");
        }
        sample.write(&mut self.json);
        self.count += 1;
    }

    /// How many samples are gathered.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True if none is gathered.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True once the batch holds as much as one may.
    pub fn is_full(&self) -> bool {
        self.count >= self.size as u64
    }

    /// The batch gathered so far, if there is anything in it.
    pub fn take(&mut self, receipt: Option<Arc<dyn Receipt>>) -> Option<Batch> {
        if self.count == 0 {
            return None;
        }
        let head = BatchHead {
            cluster_id: self.identity.cluster_id.clone(),
            agent_id: self.identity.agent_id.clone(),
            instance_id: self.identity.instance_id.clone(),
            run_id: self.identity.run_id.clone(),
            batch_id: std::mem::take(&mut self.id),
            seq: self.seq,
            collected_at: self.cycle.as_ref().unwrap_or(&self.began).clone(),
        };
        close(&mut self.json, &head);
        let body = self.zip.gzip(self.json.bytes());
        let samples = std::mem::take(&mut self.count);
        Some(Batch {
            id: head.batch_id,
            seq: head.seq,
            body,
            samples,
            receipt,
        })
    }
}

/// The samples stand first: what the other members say is known only when the batch is taken.
const OPENING: &str = "{\"samples\":[";

/// Ends the samples and adds the other members.
fn close(json: &mut Json, head: &BatchHead) {
    let head = serde_json::to_string(head).unwrap_or_default();
    json.raw("],");
    json.raw(head.strip_prefix('{').unwrap_or("}"));
}

/// The two halves of a batch that was too large, each with an id and number of its own (protocol, section 2).
/// `None` where it holds a single sample.
pub fn split(batch: &Batch, sequence: &Sequence) -> Option<[Batch; 2]> {
    #[derive(Deserialize)]
    struct Samples<'a> {
        #[serde(borrow)]
        samples: Vec<&'a RawValue>,
    }

    if batch.samples < 2 {
        return None;
    }
    let mut json = String::new();
    GzDecoder::new(&batch.body[..])
        .read_to_string(&mut json)
        .ok()?;
    let head: BatchHead = serde_json::from_str(&json).ok()?;
    let Samples { samples } = serde_json::from_str(&json).ok()?;
    let mut zip = Zip::new();
    let (left, right) = samples.split_at(samples.len() / 2);
    let mut half = |samples: &[&RawValue]| {
        let head = BatchHead {
            batch_id: uuid(),
            seq: sequence.next(),
            ..head.clone()
        };
        let mut json = Json::default();
        json.raw(OPENING);
        for (at, sample) in samples.iter().enumerate() {
            json.raw(if at > 0 { "," } else { "" });
            json.raw(sample.get());
        }
        close(&mut json, &head);
        Batch {
            id: head.batch_id,
            seq: head.seq,
            body: zip.gzip(json.bytes()),
            samples: samples.len() as u64,
            receipt: batch.receipt.clone(),
        }
    };
    Some([half(left), half(right)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn batcher(size: usize) -> Batcher {
        let text = |it: &str| it.to_owned();
        let identity = Identity {
            cluster_id: text("c"),
            agent_id: text("a"),
            instance_id: text("i"),
            run_id: text("r"),
        };
        Batcher::new(identity, Arc::default(), size)
    }

    fn read(batch: &Batch) -> Value {
        let mut text = String::new();
        GzDecoder::new(&batch.body[..])
            .read_to_string(&mut text)
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_batch_is_as_the_contract_says() {
        let mut batcher = batcher(2);
        assert!(batcher.take(None).is_none());
        batcher.add(&1);
        assert!(!batcher.is_full());
        batcher.add(&"two");
        assert!(batcher.is_full());
        let batch = batcher.take(None).unwrap();
        let body = read(&batch);
        assert_eq!(body["samples"], serde_json::json!([1, "two"]));
        assert_eq!((body["seq"].as_u64(), batch.samples), (Some(1), 2));
        assert_eq!(body["batch_id"], batch.id.as_str());
        for name in [
            "cluster_id",
            "agent_id",
            "instance_id",
            "run_id",
            "collected_at",
        ] {
            assert!(body[name].is_string(), "{name}");
        }
        batcher.add(&3);
        let next = batcher.take(None).unwrap();
        assert_eq!(read(&next)["seq"], 2);
        assert_ne!(next.id, batch.id);
    }

    #[test]
    fn all_batches_of_a_cycle_tell_when_it_began() {
        let mut batcher = batcher(1);
        let told = |batcher: &mut Batcher| {
            batcher.add(&1);
            read(&batcher.take(None).unwrap())["collected_at"].clone()
        };
        let before = told(&mut batcher);
        // Times are told in milliseconds.
        let tick = |earlier: &Value| while timestamp::now() == *earlier {};
        tick(&before);
        batcher.add(&"came before the cycle, goes with it");
        batcher.cycle_began();
        let first = told(&mut batcher);
        tick(&first);
        assert_eq!(told(&mut batcher), first);
        assert_ne!(first, before);
        batcher.cycle_ended();
        assert_ne!(told(&mut batcher), first);
    }

    #[test]
    fn a_batch_too_large_is_halved_under_new_ids() {
        let mut batcher = batcher(5);
        for n in 0..5 {
            batcher.add(&n);
        }
        let batch = batcher.take(None).unwrap();
        let [left, right] = split(&batch, &batcher.sequence).unwrap();
        assert_eq!(read(&left)["samples"], serde_json::json!([0, 1]));
        assert_eq!(read(&right)["samples"], serde_json::json!([2, 3, 4]));
        assert_eq!((left.samples, right.samples), (2, 3));
        assert_eq!(
            (read(&left)["seq"].as_u64(), read(&right)["seq"].as_u64()),
            (Some(2), Some(3))
        );
        assert!(left.id != right.id && left.id != batch.id);
        assert_eq!(read(&left)["collected_at"], read(&batch)["collected_at"]);
        let [single, _] = split(&left, &batcher.sequence).unwrap();
        assert!(split(&single, &batcher.sequence).is_none());
    }
}
