//! Frames as bytes (RFC 6455, section 5.2), right ones and wrong ones.
//!
//! What the server sends is put together here and not by a library, because no library sends what an agent has
//! to survive.

/// A text, or the first fragment of one.
pub(super) const TEXT: u8 = 0x1;
/// What follows a first fragment.
pub(super) const CONTINUATION: u8 = 0x0;
/// Anything but a text.
pub(super) const BINARY: u8 = 0x2;
/// The wish to end.
pub(super) const CLOSE: u8 = 0x8;
/// A question whether the peer is there.
pub(super) const PING: u8 = 0x9;

/// The bit that says that nothing of the message follows.
const FIN: u8 = 0x80;

/// A frame that is a whole message.
pub(super) fn whole(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw(FIN | opcode, payload)
}

/// A frame that is a part of a message, and not its last.
pub(super) fn part(opcode: u8, payload: &[u8]) -> Vec<u8> {
    raw(opcode, payload)
}

/// A close frame.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    // A control frame holds no more.
    payload.truncate(125);
    whole(CLOSE, &payload)
}

/// A frame whose first byte is this.
pub(super) fn raw(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a frame of this length.
pub(super) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        header.push(short);
    } else if let Ok(medium) = u16::try_from(length) {
        header.push(126);
        header.extend_from_slice(&medium.to_be_bytes());
    } else {
        header.push(127);
        header.extend_from_slice(&length.to_be_bytes());
    }
    header
}

/// A text frame masked as only a client's may be.
pub(super) fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = header(FIN | TEXT, payload.len() as u64);
    frame[1] |= 0x80;
    // A mask of zeros leaves the payload as it is.
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_one_three_or_nine_bytes() {
        assert_eq!(whole(TEXT, b"hi"), b"\x81\x02hi");
        assert_eq!(header(0x81, 125), [0x81, 125]);
        assert_eq!(header(0x81, 126), [0x81, 126, 0, 126]);
        assert_eq!(header(0x81, 65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(close(1000, "bye"), b"\x88\x05\x03\xe8bye");
        assert_eq!(masked(b"x"), b"\x81\x81\0\0\0\0x");
    }
}
