//! The batches that wait for the backend: bounded in bytes, the oldest dropped first, the newest sent first.

use std::collections::VecDeque;

use super::batch::Batch;

/// What waits, oldest at the front.
#[derive(Debug)]
pub struct Buffer {
    batches: VecDeque<Batch>,
    bytes: usize,
    samples: u64,
    most: usize,
}

/// What did not fit any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many batches.
    pub batches: u64,
    /// How many samples were in them.
    pub samples: u64,
}

impl Buffer {
    /// Holds at most `most` bytes of compressed batches.
    pub fn new(most: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            bytes: 0,
            samples: 0,
            most,
        }
    }

    /// True if `batch` fits without dropping any.
    pub fn has_room(&self, batch: &Batch) -> bool {
        self.bytes + batch.body.len() <= self.most
    }

    /// Adds the newest batch, dropping the oldest ones that no longer fit.
    pub fn push(&mut self, batch: Batch) -> Dropped {
        self.count(&batch);
        self.batches.push_back(batch);
        self.trim()
    }

    /// Puts back a batch that could not be sent, at the place of its age.
    pub fn give_back(&mut self, batch: Batch) -> Dropped {
        self.count(&batch);
        let newer = self
            .batches
            .iter()
            .rev()
            .take_while(|it| it.seq > batch.seq)
            .count();
        self.batches.insert(self.batches.len() - newer, batch);
        self.trim()
    }

    /// Takes the newest batch, to be sent.
    pub fn take_newest(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_back()?;
        self.bytes -= batch.body.len();
        self.samples -= batch.samples;
        Some(batch)
    }

    /// Samples that wait.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Compressed bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Batches that wait.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    fn count(&mut self, batch: &Batch) {
        self.bytes += batch.body.len();
        self.samples += batch.samples;
    }

    fn trim(&mut self) -> Dropped {
        let mut dropped = Dropped::default();
        while self.bytes > self.most {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.bytes -= oldest.body.len();
            self.samples -= oldest.samples;
            dropped.batches += 1;
            dropped.samples += oldest.samples;
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(id: &str, bytes: usize, samples: u64) -> Batch {
        let seq = u64::from(id.as_bytes()[0]);
        Batch {
            id: id.to_owned(),
            seq,
            body: vec![0; bytes],
            samples,
            receipt: None,
        }
    }

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let mut buffer = Buffer::new(100);
        assert_eq!(buffer.push(batch("a", 40, 4)), Dropped::default());
        assert_eq!(buffer.push(batch("b", 40, 5)), Dropped::default());
        assert!(!buffer.has_room(&batch("c", 30, 6)));
        assert_eq!(
            buffer.push(batch("c", 70, 6)),
            Dropped {
                batches: 2,
                samples: 9
            }
        );
        assert_eq!((buffer.samples(), buffer.bytes()), (6, 70));
    }

    #[test]
    fn the_newest_is_sent_first() {
        let mut buffer = Buffer::new(100);
        for id in ["a", "b", "c"] {
            buffer.push(batch(id, 10, 1));
        }
        let ids: Vec<_> = std::iter::from_fn(|| buffer.take_newest())
            .map(|it| it.id)
            .collect();
        assert_eq!(ids, ["c", "b", "a"]);
        assert_eq!((buffer.samples(), buffer.bytes()), (0, 0));
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_batch_given_back_is_older_than_what_came_meanwhile() {
        let mut buffer = Buffer::new(100);
        buffer.push(batch("a", 60, 1));
        let a = buffer.take_newest().unwrap();
        buffer.push(batch("b", 60, 1));
        assert_eq!(
            buffer.give_back(a),
            Dropped {
                batches: 1,
                samples: 1
            }
        );
        assert_eq!(buffer.take_newest().unwrap().id, "b");
    }
}
