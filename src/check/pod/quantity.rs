//! Kubernetes quantities, such as `1Gi` or `50m`: compared and written. Pure.

use kube_quantity::ParsedQuantity;
use serde::Deserialize;
use serde_json::Value;

/// A quantity such as `8Gi` or `50m`.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String")]
#[schemars(rename = "Quantity")]
#[schemars(extend("pattern" = r"^\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|[eE]\d+)?$"))]
pub struct Amount {
    /// As it is written.
    pub text: String,
    /// In the unit without a prefix: bytes, or CPU cores.
    pub number: f64,
}

impl TryFrom<String> for Amount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let number = number(&text).ok_or_else(|| format!("{text} is no quantity such as 8Gi or 50m"))?;
        Ok(Self { text, number })
    }
}

/// A quantity as a number; `None` if it is none.
pub fn number(text: &str) -> Option<f64> {
    ParsedQuantity::try_from(text).ok()?.to_bytes_f64()
}

/// A quantity as YAML may have it, also as a plain number.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Whether two quantities are the same amount, however they are written.
pub fn same(one: &str, other: &str) -> bool {
    // Not the crate's own `==`: it goes through f32, takes 1073742000 for 1Gi, and 64Mi for other than 67.108864M.
    let both = number(one).zip(number(other));
    one == other || both.is_some_and(|(one, other)| (one - other).abs() <= 1e-12 * one.abs().max(other.abs()))
}

/// A memory size for people.
pub fn memory(bytes: f64) -> String {
    format!("{:.1}Mi", bytes / f64::from(1 << 20))
}

/// CPU for people.
pub fn cpu(cores: f64) -> String {
    format!("{:.0}m", cores * 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_words_are_compared(one in "[-+.0-9eE]{0,12}[a-zA-Z]{0,3}", other in ".{0,8}") {
            prop_assert!(same(&one, &one));
            let _ = same(&one, &other);
        }
    }

    #[test]
    fn amounts_are_compared_and_not_spellings() {
        for (one, other) in [
            ("1024Mi", "1Gi"),
            ("1Gi", "1073741824"),
            ("1Gi", "1.073741824e+09"),
            ("64Mi", "67108864.0"),
            ("64Mi", "67.108864M"),
            ("0.05", "50m"),
            ("0.15", "150m"),
            ("1", "1000m"),
            ("1Ti", "1099511627776"),
            ("50m", "50000000n"),
            ("0.5Gi", "512Mi"),
            ("128e6", "128M"),
            ("0", "0Mi"),
        ] {
            assert!(same(one, other) && same(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("1G", "1Gi"),
            ("64Mi", "64M"),
            ("1Gi", "1073742000"),
            ("1Gi", "1073741825"),
            ("50m", "50"),
            ("50m", "51m"),
            ("1n", "2n"),
        ] {
            assert!(!same(one, other) && !same(other, one), "{one} {other}");
        }
        assert!(!same("lots", "many") && !same("1Gi", ""));
        assert!(Amount::try_from("8 Gi".to_owned()).is_err());
    }
}
