//! Kubernetes quantities, such as `1Gi` or `50m`: parsing, comparing and formatting. Pure.

use serde::Deserialize;
use serde_json::Value;

/// Factors of suffixes. Source: `Quantity` in the Kubernetes API reference.
const SUFFIXES: [(&str, f64); 15] = [
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

/// A quantity such as `8Gi` or `50m`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = r"^\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|[eE]\d+)?$"))]
pub struct Quantity {
    /// As written in the suite.
    pub text: String,
    /// In base units: bytes, or CPU cores.
    pub number: f64,
}

impl TryFrom<String> for Quantity {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = number(&text).ok_or_else(|| format!("`{text}` is not a quantity such as 8Gi or 50m"))?;
        Ok(Self { text, number })
    }
}

pub fn number(text: &str) -> Option<f64> {
    let suffixed = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
    // Rust's parser also accepts `inf` and `nan`.
    let is_number = |digits: &str| digits.chars().all(|c| c.is_ascii_digit() || "+-.".contains(c));
    match suffixed {
        Some((digits, factor)) => Some(digits.parse::<f64>().ok().filter(|_| is_number(digits))? * factor),
        None => text.parse().ok().filter(|_| is_number(&text.replace(['e', 'E'], ""))),
    }
}

/// The text of a quantity, which YAML may also hold as a number.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether two quantities are equal, however they are written.
pub fn equal(one: &str, other: &str) -> bool {
    let both = number(one).zip(number(other));
    one == other || both.is_some_and(|(one, other)| (one - other).abs() <= 1e-12 * one.abs().max(other.abs()))
}

pub fn memory(bytes: f64) -> String {
    format!("{:.1}Mi", bytes / f64::from(1 << 20))
}

pub fn cpu(cores: f64) -> String {
    format!("{:.0}m", cores * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_equal_whatever_their_spelling() {
        for [one, other] in [
            ["1024Mi", "1Gi"],
            ["1Gi", "1073741824"],
            ["1Gi", "1.073741824e+09"],
            ["64Mi", "67.108864M"],
            ["0.05", "50m"],
            ["1", "1000m"],
            ["50m", "50000000n"],
            ["0.5Gi", "512Mi"],
            ["0", "0Mi"],
        ] {
            assert!(equal(one, other) && equal(other, one), "{one} {other}");
        }
        for [one, other] in [["1G", "1Gi"], ["64Mi", "64M"], ["1Gi", "1073741825"], ["50m", "50"], ["1n", "2n"]] {
            assert!(!equal(one, other) && !equal(other, one), "{one} {other}");
        }
        assert!(!equal("lots", "many") && !equal("1Gi", ""));
        assert!(["8 Gi", "1e5m", "inf", "infm"].iter().all(|text| Quantity::try_from((*text).to_owned()).is_err()));
    }
}
