//! Durations as Go writes them.

/// Nanoseconds of a duration such as `30s`, `1m0s` or `15.03s` (time.ParseDuration); none that is negative.
pub(super) fn nanos(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0_i64;
    while !rest.is_empty() {
        let number = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (amount, tail) = rest.split_at(number);
        let unit = tail
            .find(|it: char| it.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let factor = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        sum = sum.checked_add(product(amount, factor)?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum)
}

/// `amount`, a decimal number, times `factor`; what is smaller than one is left out.
fn product(amount: &str, factor: i64) -> Option<i64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    let mut sum = match whole {
        "" if fraction.is_empty() => return None,
        "" => 0,
        whole => whole.parse::<i64>().ok()?.checked_mul(factor)?,
    };
    let mut place = factor;
    for digit in fraction.chars() {
        place /= 10;
        sum = sum.checked_add(place * i64::from(digit.to_digit(10)?))?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        for (text, expected) in [
            ("30s", Some(30_000_000_000)),
            ("1m0s", Some(60_000_000_000)),
            ("1h2m3.5s", Some(3_723_500_000_000)),
            ("15.03s", Some(15_030_000_000)),
            ("1m0.000000001s", Some(60_000_000_001)),
            ("250ms", Some(250_000_000)),
            (".5s", Some(500_000_000)),
            ("0s", Some(0)),
            ("", None),
            ("30", None),
            ("s", None),
            (".s", None),
            ("1.2.3s", None),
            ("-1s", None),
            ("9999999999h", None),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }
}
