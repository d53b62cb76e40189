//! Kubernetes quantities (`100m`, `1.5Gi`, `12e6`), exactly, as integers of a billionth.
//!
//! The grammar is that of k8s.io/apimachinery's `resource.Quantity`: a signed decimal number followed by a decimal
//! suffix (n u m "" k M G T P E), a binary one (Ki Mi Gi Ti Pi Ei) or a decimal exponent.

/// An amount in billionths of its unit: nanocores for cpu, billionths of a byte for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Quantity(i128);

impl Quantity {
    /// Reads `text`; `None` where it is no quantity or beyond what 128 bits of billionths hold.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let end = rest
            .iter()
            .position(|it| !it.is_ascii_digit() && *it != b'.')
            .unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let point = number.iter().position(|it| *it == b'.');
        if point.is_none() && (1..SHORT).contains(&number.len()) {
            // Nearly all: short whole numbers, whose digits fit half the bits.
            let digits = number
                .iter()
                .fold(0_i64, |sum, it| sum * 10 + i64::from(it - b'0'));
            let nanos = Unit::parse(suffix)?.nanos(i128::from(digits), 0)?;
            return Some(Self(if negative { -nanos } else { nanos }));
        }
        let (whole, fraction) = match point {
            Some(at) => (&number[..at], &number[at + 1..]),
            None => (number, &[][..]),
        };
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains(&b'.') {
            return None;
        }
        let mut digits: i128 = 0;
        for digit in whole.iter().chain(fraction) {
            digits = digits
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        let decimals = i32::try_from(fraction.len()).ok()?;
        let nanos = Unit::parse(suffix)?.nanos(digits, decimals)?;
        Some(Self(if negative { -nanos } else { nanos }))
    }

    /// Billionths: nanocores of a cpu quantity. Saturates.
    pub fn nanos(self) -> i64 {
        i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whole units, rounded up as Kubernetes does: bytes of a memory quantity. Saturates.
    pub fn units(self) -> i64 {
        if let Ok(nanos) = i64::try_from(self.0) {
            // Machines divide 64 bits by themselves.
            return nanos / NANO_64 + i64::from(nanos % NANO_64 > 0);
        }
        let (whole, rest) = (self.0 / NANO, self.0 % NANO);
        let up = whole + i128::from(rest > 0);
        i64::try_from(up).unwrap_or(if up < 0 { i64::MIN } else { i64::MAX })
    }
}

const NANO: i128 = 1_000_000_000;
const NANO_64: i64 = 1_000_000_000;
/// Fewer digits than 64 bits hold at least.
const SHORT: usize = 19;

struct Unit {
    binary: i128,
    decimal: i32,
}

impl Unit {
    fn parse(suffix: &[u8]) -> Option<Self> {
        let decimal = |decimal| Some(Self { binary: 1, decimal });
        let binary = |shift: u32| {
            Some(Self {
                binary: 1 << shift,
                decimal: 0,
            })
        };
        match suffix {
            b"" => decimal(0),
            b"n" => decimal(-9),
            b"u" => decimal(-6),
            b"m" => decimal(-3),
            b"k" => decimal(3),
            b"M" => decimal(6),
            b"G" => decimal(9),
            b"T" => decimal(12),
            b"P" => decimal(15),
            b"E" => decimal(18),
            b"Ki" => binary(10),
            b"Mi" => binary(20),
            b"Gi" => binary(30),
            b"Ti" => binary(40),
            b"Pi" => binary(50),
            b"Ei" => binary(60),
            _ => {
                let [b'e' | b'E', exponent @ ..] = suffix else {
                    return None;
                };
                let exponent = str::from_utf8(exponent).ok()?.parse().ok()?;
                // Far beyond any amount; keeps the arithmetic below in range.
                (-30..=30).contains(&exponent).then_some(Self {
                    binary: 1,
                    decimal: exponent,
                })
            }
        }
    }

    /// Billionths of `digits`, of which the last `decimals` stand behind the point.
    fn nanos(&self, digits: i128, decimals: i32) -> Option<i128> {
        let exponent = self.decimal + 9 - decimals;
        if exponent == 0 {
            return digits.checked_mul(self.binary);
        }
        scale(digits.checked_mul(self.binary)?, exponent)
    }
}

/// The powers of ten that 128 bits hold.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// `digits` times ten to the `exponent`, rounded up.
fn scale(digits: i128, exponent: i32) -> Option<i128> {
    let factor = POWERS.get(exponent.unsigned_abs() as usize).copied();
    match factor {
        Some(factor) if exponent >= 0 => digits.checked_mul(factor),
        Some(factor) => Some(digits / factor + i128::from(digits % factor > 0)),
        None if digits == 0 => Some(0),
        None if exponent < 0 => Some(1),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn cpu_is_exact_to_the_nanocore() {
        for (text, nanos) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("100m", 100_000_000),
            ("1.5", 1_500_000_000),
            (".5", 500_000_000),
            ("5.", 5_000_000_000),
            ("2386041n", 2_386_041),
            ("7u", 7_000),
            ("1e3", 1_000_000_000_000),
            ("12E-3", 12_000_000),
            ("-250m", -250_000_000),
            ("+1", 1_000_000_000),
        ] {
            assert_eq!(
                Quantity::parse(text.as_bytes()).map(Quantity::nanos),
                Some(nanos),
                "{text}"
            );
        }
    }

    #[test]
    fn memory_is_whole_bytes_rounded_up() {
        for (text, bytes) in [
            ("128974848", 128_974_848),
            ("129e6", 129_000_000),
            ("129M", 129_000_000),
            ("123Mi", 128_974_848),
            ("1.5Gi", 1_610_612_736),
            ("0.5Ki", 512),
            ("128974848000m", 128_974_848),
            ("1m", 1),
            ("1n", 1),
            ("-1", -1),
            ("-1500m", -1),
            ("999999999999999999n", 1_000_000_000),
            ("9999999999999999999n", 10_000_000_000),
            ("8Ei", i64::MAX),
            ("1000E", i64::MAX),
        ] {
            assert_eq!(
                Quantity::parse(text.as_bytes()).map(Quantity::units),
                Some(bytes),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            ".",
            "m",
            "1.2.3",
            "1 Gi",
            "1gi",
            "1K",
            "0x10",
            "1e",
            "1e+",
            "1e99",
            "NaN",
            "١",
            "1Gi ",
            "--1",
            "999999999999999999999999999999999999999999",
        ] {
            assert_eq!(Quantity::parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
