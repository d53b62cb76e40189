//! What a peer says in its errors, as it may stand in a log, in health and in a heartbeat: the beginning of it, on one
//! line, with nothing in it that moves a cursor.

/// Long enough for what an admission webhook has to say; an answer may bring megabytes. In bytes, about.
const MOST: usize = 1024;

/// The start of `text`, its white space as single spaces, other control characters escaped.
pub fn excerpt(text: &str) -> String {
    let mut short = String::new();
    for word in text.split_whitespace() {
        if !short.is_empty() {
            short.push(' ');
        }
        for it in word.chars() {
            if short.len() >= MOST {
                short.push_str("...");
                return short;
            }
            if is_plain(it) {
                short.push(it);
            } else {
                short.extend(it.escape_default());
            }
        }
    }
    short
}

/// No control character, and none that turns the direction of what follows.
fn is_plain(it: char) -> bool {
    !it.is_control() && !matches!(it, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_short_and_on_one_line() {
        assert_eq!(excerpt(" <html>\r\n\t<h1>é</h1> "), "<html> <h1>é</h1>");
        assert_eq!(
            excerpt("a\u{1b}[31mb\0\u{202e}c\u{2028}d"),
            "a\\u{1b}[31mb\\u{0}\\u{202e}c d"
        );
        assert_eq!(excerpt("  \n"), "");
        let cut = excerpt(&"é".repeat(MOST));
        assert_eq!(cut, format!("{}...", "é".repeat(MOST / 2)));
    }
}
