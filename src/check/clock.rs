//! The clocks: envelopes are dated by the backend's and judged by the agent's.

use super::report::Line;

/// An envelope from further in the future is not yet valid (protocol, section 1).
const MOST_MS: u64 = 300_000;
/// Half-way there somebody should look.
const ADVISED_MS: u64 = 60_000;

/// A line for the offset of another clock, `whose` it is: positive where that one is ahead.
pub(super) fn judge(name: &'static str, whose: &str, offset_ms: Option<i64>) -> Line {
    let Some(offset) = offset_ms else {
        return Line::skipped(name, format!("{whose} does not tell the time"));
    };
    let seconds = offset.unsigned_abs().div_ceil(1000);
    let found = match offset {
        -999..=999 => format!("{whose}'s clock agrees with this one"),
        1000.. => format!("{whose}'s clock is {seconds} s ahead of this one"),
        _ => format!("{whose}'s clock is {seconds} s behind this one"),
    };
    let remedy = format!(
        "synchronise the clocks (NTP, chrony): if clock_backend and clock_api_server show the same, it is this node's \
         that is wrong, else {whose}'s; actions are refused from 300 s on"
    );
    match offset.unsigned_abs() {
        MOST_MS.. => Line::failed(name, found, remedy),
        ADVISED_MS.. => Line::warning(name, found, remedy),
        _ => Line::ok(name, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Outcome;

    #[test]
    fn an_offset_is_judged_by_what_it_breaks() {
        for (offset, outcome, part) in [
            (Some(0), Outcome::Ok, "agrees"),
            (Some(-900), Outcome::Ok, "agrees"),
            (Some(59_000), Outcome::Ok, "59 s ahead"),
            (Some(-61_000), Outcome::Warning, "61 s behind"),
            (Some(3_600_000), Outcome::Failed, "3600 s ahead"),
            (Some(-300_000), Outcome::Failed, "300 s behind"),
            (None, Outcome::Skipped, "does not tell"),
        ] {
            let line = judge("clock_backend", "the backend", offset);
            assert_eq!(line.outcome, outcome, "{offset:?}");
            assert!(line.found.contains(part), "{line:?}");
        }
    }
}
