//! Kubernetes quantities, as far as the simulation computes with them.

/// A quantity in thousandths, as CPU is counted; what is smaller is cut off.
pub(super) fn millis(text: &str) -> Option<i64> {
    nanos(text).and_then(|nanos| i64::try_from(nanos / 1_000_000).ok())
}

/// A quantity in whole units, as memory is counted; a fraction is cut off.
pub(super) fn whole(text: &str) -> Option<i64> {
    nanos(text).and_then(|nanos| i64::try_from(nanos / 1_000_000_000).ok())
}

fn nanos(text: &str) -> Option<i128> {
    let end = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor: i128 = match suffix {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => 1_000_000_000,
        "k" => 1_000_000_000_000,
        "M" => 1_000_000_000_000_000,
        "G" => 1_000_000_000_000_000_000,
        "T" => 1_000_000_000_000_000_000_000,
        "Ki" => 1_000_000_000 << 10,
        "Mi" => 1_000_000_000 << 20,
        "Gi" => 1_000_000_000 << 30,
        "Ti" => 1_000_000_000 << 40,
        exponent => {
            let exponent: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_i128.checked_pow(exponent.checked_add(9)?)?
        }
    };
    let (units, decimals) = number.split_once('.').unwrap_or((number, ""));
    let decimals = decimals.get(..9).unwrap_or(decimals);
    let scale = 10_i128.pow(u32::try_from(decimals.len()).ok()?);
    let value: i128 = format!("{units}{decimals}").parse().ok()?;
    Some(value.checked_mul(factor)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_suffix() {
        for (text, expected) in [
            ("2", 2),
            ("1Ki", 1024),
            ("1.5Gi", 3 << 29),
            ("300M", 300_000_000),
            ("3999m", 3),
        ] {
            assert_eq!(whole(text), Some(expected), "{text}");
        }
        for (text, expected) in [
            ("250m", 250),
            ("1.5", 1500),
            ("12345678n", 12),
            ("0.1", 100),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        assert_eq!(
            (whole("many"), whole(""), whole("9e99")),
            (None, None, None)
        );
    }
}
