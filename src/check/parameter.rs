//! Types of parameters in suite files that several checks share.

use std::time::Duration;

use jiff::SignedDuration;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Maximum duration: a longer one is a mistake, and could overflow points in time.
pub const LONGEST: Duration = Duration::from_secs(1000 * 3600);

/// A duration such as `60s`, `10m` or `1m 30s`; more than zero, and at most 1000 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", rename = "Duration")]
#[schemars(extend("pattern" = r"^(?=.*[1-9])(\d+(\.\d+)? ?(h|m|s|ms) ?)+$"))]
pub struct DurationParam(pub Duration);

impl TryFrom<String> for DurationParam {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.parse::<SignedDuration>().map(Duration::try_from) {
            Ok(Ok(duration)) if duration > LONGEST => Err("a duration is at most 1000h"),
            Ok(Ok(duration)) if !duration.is_zero() => Ok(Self(duration)),
            Ok(_) => Err("a duration must be more than zero"),
            Err(_) => Err("write a duration like 90s or 10m"),
        }
    }
}

impl DurationParam {
    pub fn signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }
}

impl std::fmt::Display for DurationParam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.signed())
    }
}

/// A regular expression that matches part of a line, but not every line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("minLength" = 1))]
pub struct Pattern(pub Regex);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let regex = Regex::new(&text).map_err(|error| {
            let error = error.to_string();
            // The lines before repeat the expression.
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{text}` is not a regular expression: {last}")
        })?;
        if regex.is_match("") { Err(format!("`{text}` matches every line")) } else { Ok(Self(regex)) }
    }
}

/// Deserializes a pattern whose first group captures a value.
pub(super) fn with_group<'de, D: Deserializer<'de>>(from: D) -> Result<Pattern, D::Error> {
    let pattern = Pattern::deserialize(from)?;
    // Group 0 is the whole match.
    let has_group = pattern.0.captures_len() > 1;
    let missing = || serde::de::Error::custom(format!("`{}` has no group, such as `(\\d+)`", pattern.0));
    if has_group { Ok(pattern) } else { Err(missing()) }
}

/// Deserializes a number, list or text that must not be zero or empty.
pub(super) fn non_empty<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default + PartialEq,
    D: Deserializer<'de>,
{
    let value = T::deserialize(from)?;
    if value == T::default() { Err(serde::de::Error::custom("must not be zero or empty")) } else { Ok(value) }
}

/// Where to find a server's expected property.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "Fact")]
pub struct ExpectedFact {
    /// Path in the server's values, such as `service.nodePort`.
    pub values: String,
    /// The expected value if the values do not set it.
    pub default: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// `None` accepts anything.
    pub value: Option<Value>,
    pub source: String,
}

impl Expected {
    /// The value as text, even if it is a number.
    pub fn text(&self) -> Option<String> {
        self.value.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The expectation that a live value violates, with its source; `None` if the value is as expected.
    pub fn mismatch(&self, what: &str, live: &str) -> Option<String> {
        let expected = self.text().filter(|expected| expected != live)?;
        Some(format!("{what} {expected} ({})", self.source))
    }
}
