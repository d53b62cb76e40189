//! The frames that the backend has not acknowledged, in order, within bounds (protocol, section 3).
//!
//! Pure: no clock, no socket. Whoever holds it decides when to send what [`Ring::take_next`] gives.

use std::collections::VecDeque;

use super::frames;

/// Frames kept at most.
pub const MAX_FRAMES: usize = 1000;
/// Bytes of frames kept at most.
pub const MAX_BYTES: usize = 1 << 20;

/// What a frame is to the ring: which goes first when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A courtesy copy of a result: the last to go.
    Result,
    /// Stands in the place of what went, so many frames.
    Gap(u64),
    /// Anything else.
    Other,
}

#[derive(Debug)]
struct Entry {
    /// Of a gap: the number of the last frame dropped.
    seq: u64,
    kind: Kind,
    text: String,
}

/// The numbered frames of one run.
#[derive(Debug, Default)]
pub struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The highest number given.
    last: u64,
    /// The highest number that went over the present connection, or is stored at the backend.
    sent: u64,
    /// The highest number that ever went over any.
    ever_sent: u64,
    max_frames: usize,
    max_bytes: usize,
}

impl Ring {
    /// With the bounds of the protocol.
    pub fn new() -> Self {
        Self::bounded(MAX_FRAMES, MAX_BYTES)
    }

    fn bounded(max_frames: usize, max_bytes: usize) -> Self {
        Self {
            max_frames,
            max_bytes,
            ..Self::default()
        }
    }

    /// The number of the next new frame.
    pub fn next_seq(&self) -> u64 {
        self.last + 1
    }

    /// How many frames wait for their acknowledgement, gaps included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if something is to be sent over the present connection.
    pub fn has_unsent(&self) -> bool {
        self.entries.back().is_some_and(|it| it.seq > self.sent)
    }

    /// Adds the frame that `text` makes of its number. Returns how many frames went for it.
    pub fn push(&mut self, is_result: bool, text: impl FnOnce(u64) -> String) -> u64 {
        self.last += 1;
        let kind = if is_result { Kind::Result } else { Kind::Other };
        let text = text(self.last);
        self.bytes += text.len();
        self.entries.push_back(Entry {
            seq: self.last,
            kind,
            text,
        });
        let mut dropped = 0;
        while (self.entries.len() > self.max_frames || self.bytes > self.max_bytes)
            && self.drop_one()
        {
            dropped += 1;
        }
        dropped
    }

    /// The next frame to be sent, which counts as sent from now on.
    pub fn take_next(&mut self) -> Option<&str> {
        let at = self.entries.partition_point(|it| it.seq <= self.sent);
        let entry = self.entries.get(at)?;
        self.sent = entry.seq;
        self.ever_sent = self.ever_sent.max(entry.seq);
        Some(&entry.text)
    }

    /// The backend has stored all frames up to `seq`. False if that is no news. A number that never went out says
    /// nothing.
    pub fn acked(&mut self, seq: u64) -> bool {
        let seq = seq.min(self.ever_sent);
        let before = self.entries.len();
        while let Some(entry) = self.entries.pop_front_if(|it| it.seq <= seq) {
            self.bytes -= entry.text.len();
        }
        self.entries.len() < before
    }

    /// A new connection, over which the backend said up to where it has this run: all above is sent again.
    pub fn welcomed(&mut self, last_seq: u64) {
        self.acked(last_seq);
        self.sent = last_seq.min(self.ever_sent);
    }

    /// Puts a gap in the place of the oldest frame that is no result, or else of the oldest; false if only gaps
    /// are there.
    fn drop_one(&mut self) -> bool {
        let of = |kind| move |it: &Entry| it.kind == kind;
        let oldest = self.entries.iter().position(of(Kind::Other));
        let Some(at) = oldest.or_else(|| self.entries.iter().position(of(Kind::Result))) else {
            return false;
        };
        let seq = self.entries[at].seq;
        self.replace(at, seq, 1);
        for neighbour in [at + 1, at] {
            self.merge(neighbour);
        }
        true
    }

    /// Makes one of the gap at `at` and the one before it, if both are gaps.
    fn merge(&mut self, at: usize) {
        let Some(before) = at.checked_sub(1).and_then(|it| self.entries.get(it)) else {
            return;
        };
        if let (
            Kind::Gap(a),
            Some(&Entry {
                seq,
                kind: Kind::Gap(b),
                ..
            }),
        ) = (before.kind, self.entries.get(at))
        {
            self.replace(at, seq, a + b);
            if let Some(gone) = self.entries.remove(at - 1) {
                self.bytes -= gone.text.len();
            }
        }
    }

    fn replace(&mut self, at: usize, seq: u64, dropped: u64) {
        let text = frames::gap(seq, dropped);
        let entry = &mut self.entries[at];
        self.bytes = self.bytes - entry.text.len() + text.len();
        *entry = Entry {
            seq,
            kind: Kind::Gap(dropped),
            text,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in it: `r3` a result, `o4` another frame, `g6-2` a gap of two up to 6.
    fn shown(ring: &Ring) -> String {
        let one = |it: &Entry| match it.kind {
            Kind::Result => format!("r{}", it.seq),
            Kind::Other => format!("o{}", it.seq),
            Kind::Gap(dropped) => format!("g{}-{dropped}", it.seq),
        };
        ring.entries.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn filled(max: usize, kinds: &str) -> Ring {
        let mut ring = Ring::bounded(max, MAX_BYTES);
        for kind in kinds.chars() {
            ring.push(kind == 'r', |seq| format!("frame {seq}"));
        }
        ring
    }

    #[test]
    fn what_goes_and_what_stands_in_its_place() {
        for (max, pushed, left) in [
            (4, "oooo", "o1 o2 o3 o4"),
            // One gap for one frame makes no room, two for two do.
            (4, "ooooo", "g2-2 o3 o4 o5"),
            (4, "ooooooo", "g4-4 o5 o6 o7"),
            (4, "rroor", "r1 r2 g4-2 r5"),
            // Gaps apart are made one only when what stands between them goes.
            (5, "rorooo", "r1 g2-1 r3 g5-2 o6"),
            (4, "rrrrr", "g2-2 r3 r4 r5"),
            (3, "rorr", "g2-2 r3 r4"),
            (1, "oooooo", "g6-6"),
        ] {
            assert_eq!(shown(&filled(max, pushed)), left, "{pushed} in {max}");
        }
    }

    #[test]
    fn every_number_is_there_once_whatever_happens() {
        let mut ring = Ring::bounded(7, 200);
        let mut state = 12345_u64;
        let mut acked = 0;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            match state >> 60 {
                0 => acked = acked.max(ring.sent).min(ring.sent),
                1 => drop(ring.take_next().map(str::to_owned)),
                2 => {
                    let upto = (state >> 32) % (ring.last + 2);
                    ring.acked(upto);
                }
                3 => ring.welcomed((state >> 32) % (ring.last + 2)),
                it => drop(ring.push(it % 3 == 0, |seq| {
                    "x".repeat(usize::try_from(seq % 60).unwrap())
                })),
            }
            assert!(ring.entries.len() <= 7 && ring.bytes <= 200);
            let bytes: usize = ring.entries.iter().map(|it| it.text.len()).sum();
            assert_eq!(ring.bytes, bytes);
            let mut expected = ring.last;
            for it in ring.entries.iter().rev() {
                assert_eq!(it.seq, expected, "{}", shown(&ring));
                expected -= match it.kind {
                    Kind::Gap(dropped) => dropped,
                    _ => 1,
                };
            }
        }
    }

    #[test]
    fn acks_are_cumulative_and_a_welcome_sends_the_rest_again() {
        let mut ring = filled(9, "oorooo");
        assert_eq!(ring.take_next(), Some("frame 1"));
        assert_eq!(ring.take_next(), Some("frame 2"));
        assert_eq!(ring.take_next(), Some("frame 3"));
        assert!(ring.acked(2));
        assert!(!ring.acked(2), "no news");
        assert_eq!(shown(&ring), "r3 o4 o5 o6");
        // What never went out was never stored, whoever says so.
        assert!(ring.acked(u64::MAX));
        assert_eq!(shown(&ring), "o4 o5 o6");
        assert_eq!(ring.take_next(), Some("frame 4"));
        ring.welcomed(3);
        assert_eq!(ring.take_next(), Some("frame 4"));
        ring.welcomed(4);
        assert_eq!(ring.take_next(), Some("frame 5"));
        assert_eq!(ring.take_next(), Some("frame 6"));
        assert!(!ring.has_unsent());
        assert_eq!(ring.take_next(), None);
        ring.welcomed(0);
        assert_eq!(ring.take_next(), Some("frame 5"), "what is gone is gone");
        assert_eq!(ring.next_seq(), 7);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ring = Ring::bounded(1000, 100);
        for _ in 0..5 {
            ring.push(false, |_| "x".repeat(30));
        }
        // A gap takes a few bytes of its own.
        assert_eq!(shown(&ring), "g3-3 o4 o5");
    }
}
