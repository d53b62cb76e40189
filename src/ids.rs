//! Random identifiers.

use std::fmt::Write;

/// A random UUID, version 4 (RFC 9562).
pub fn uuid() -> String {
    let mut bytes = [0; 16];
    // Without randomness the clock must do: ids tell things apart, they protect nothing.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = time::OffsetDateTime::now_utc()
            .unix_timestamp_nanos()
            .to_le_bytes();
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = bytes
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::uuid;

    #[test]
    fn it_is_a_uuid_of_version_4_and_new_each_time() {
        let (a, b) = (uuid(), uuid());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert!("89ab".contains(&a[19..20]));
    }
}
