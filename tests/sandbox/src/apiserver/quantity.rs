//! Kubernetes quantities, as far as the simulation computes with them.

/// The number a quantity stands for.
pub fn parse(text: &str) -> Option<f64> {
    let end = text
        .find(|letter: char| letter.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        exponent => 10_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_suffix() {
        for (text, expected) in [
            ("2", 2.0),
            ("250m", 0.25),
            ("1Ki", 1024.0),
            ("1.5Gi", 1.5 * 1_073_741_824.0),
            ("3e2", 300.0),
        ] {
            let parsed = parse(text).unwrap();
            assert!(
                (parsed - expected).abs() < 1e-9 * expected,
                "{text}: {parsed}"
            );
        }
        assert_eq!(parse("many"), None);
        assert_eq!(parse(""), None);
    }
}
