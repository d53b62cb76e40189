//! What a broken or hostile server sends. None of it is to do more than end the connection.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::line::Outlet;
use super::wire;

/// Something that is sent to see what the agent does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attack", rename_all = "snake_case")]
pub enum Attack {
    /// The header of a text of 2^63 bytes, and then nothing.
    HugeHeader,
    /// A text in fragments of 64 KiB, of this many bytes together.
    Fragments {
        /// How many bytes.
        bytes: u64,
    },
    /// A text in fragments that hold nothing, as many as are taken.
    EmptyFragments,
    /// Pings, at this pace.
    PingFlood {
        /// How many a second.
        per_second: u32,
        /// For how long.
        seconds: u32,
    },
    /// A binary frame.
    Binary,
    /// A text that is no UTF-8.
    InvalidUtf8,
    /// A text with a mask.
    Masked,
    /// A text with a reserved bit set.
    ReservedBit,
    /// A ping of 126 bytes.
    LongPing,
    /// A continuation of nothing.
    LoneContinuation,
    /// JSON of lists in lists.
    Nesting {
        /// How deep.
        depth: usize,
    },
    /// A text that is no JSON.
    BadJson,
    /// JSON that is no object.
    NoObject,
    /// A text of so many bytes in one frame.
    Large {
        /// How many bytes.
        bytes: usize,
    },
    /// A message of a type that there is not. It is to be ignored.
    UnknownType,
    /// The first half of a frame, and then nothing.
    HalfFrame,
}

impl Attack {
    /// Sends it. Ends when it is sent, or when there is nobody left to send it to.
    pub(super) fn send(&self, out: &Outlet) -> io::Result<()> {
        match self {
            Attack::HugeHeader => out.send(&wire::header(0x80 | wire::TEXT, 1 << 63)),
            Attack::Fragments { bytes } => fragments(out, *bytes),
            Attack::EmptyFragments => empty_fragments(out),
            Attack::PingFlood {
                per_second,
                seconds,
            } => flood(out, *per_second, *seconds),
            Attack::Binary => out.send(&wire::whole(wire::BINARY, b"\x00\x01\x02")),
            Attack::InvalidUtf8 => out.send(&wire::whole(wire::TEXT, b"{\"type\":\"\xc3\x28\"}")),
            Attack::Masked => out.send(&wire::masked(br#"{"type":"unknown"}"#)),
            Attack::ReservedBit => {
                out.send(&wire::raw(0xc0 | wire::TEXT, br#"{"type":"unknown"}"#))
            }
            Attack::LongPing => out.send(&wire::whole(wire::PING, &[b'x'; 126])),
            Attack::LoneContinuation => out.send(&wire::whole(wire::CONTINUATION, b"{}")),
            Attack::Nesting { depth } => {
                let text = [r#"{"type":"#, &"[".repeat(*depth), &"]".repeat(*depth), "}"].concat();
                out.send(&wire::whole(wire::TEXT, text.as_bytes()))
            }
            Attack::BadJson => out.send(&wire::whole(wire::TEXT, b"{\"type\":")),
            Attack::NoObject => out.send(&wire::whole(wire::TEXT, b"[1,2,3]")),
            Attack::Large { bytes } => {
                let text = [r#"{"type":"unknown","x":""#, &"x".repeat(*bytes), r#""}"#].concat();
                out.send(&wire::whole(wire::TEXT, text.as_bytes()))
            }
            Attack::UnknownType => out.send(&wire::whole(
                wire::TEXT,
                br#"{"type":"unknown","x":[1,{"y":null}]}"#,
            )),
            Attack::HalfFrame => {
                out.send(&wire::whole(wire::TEXT, br#"{"type":"ack","seq":1}"#)[..9])
            }
        }
    }
}

fn fragments(out: &Outlet, bytes: u64) -> io::Result<()> {
    const SIZE: usize = 64 << 10;
    let payload = vec![b'x'; SIZE];
    out.send(&wire::part(wire::TEXT, &payload))?;
    let next = wire::part(wire::CONTINUATION, &payload);
    for _ in 1..bytes / SIZE as u64 {
        out.send(&next)?;
    }
    out.send(&wire::whole(wire::CONTINUATION, b"x"))
}

fn empty_fragments(out: &Outlet) -> io::Result<()> {
    out.send(&wire::part(wire::TEXT, b""))?;
    let many = wire::part(wire::CONTINUATION, b"").repeat(1 << 15);
    loop {
        out.send(&many)?;
    }
}

fn flood(out: &Outlet, per_second: u32, seconds: u32) -> io::Result<()> {
    let ping = wire::whole(wire::PING, b"flood");
    let started = Instant::now();
    let mut sent = 0;
    while started.elapsed() < Duration::from_secs(seconds.into()) {
        // As many as are due by now: a sleep is never exact.
        let due = started.elapsed().as_millis() * u128::from(per_second) / 1000;
        let burst = u128::min(due.saturating_sub(sent), 10_000);
        out.send(&ping.repeat(usize::try_from(burst).unwrap_or_default()))?;
        sent += burst;
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
