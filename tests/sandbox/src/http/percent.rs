//! Percent-encoding, as far as a request's target needs it.

/// Undoes percent-encoding. An escape that is none stays as it stands; bytes that are no UTF-8 are replaced.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if escaped.is_some() { 3 } else { 1 };
        decoded.push(escaped.unwrap_or(byte));
    }
    String::from_utf8(decoded)
        .unwrap_or_else(|err| String::from_utf8_lossy(err.as_bytes()).into_owned())
}

/// The pairs of a query string, decoded, in their order. Here, and only here, a `+` is a space.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(&name.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_is_encoded_and_keeps_the_rest() {
        assert_eq!(decode("a%2Fb%3d"), "a/b=");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz+"), "%zz+");
        assert_eq!(decode("caf%C3%A9"), "café");
    }

    #[test]
    fn reads_pairs_in_order() {
        let pairs = parse_query("limit=500&fieldSelector=spec.nodeName%3Dn-1&watch&x=a+b");
        let expected = [
            ("limit", "500"),
            ("fieldSelector", "spec.nodeName=n-1"),
            ("watch", ""),
            ("x", "a b"),
        ];
        assert!(
            pairs
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .eq(expected)
        );
    }
}
