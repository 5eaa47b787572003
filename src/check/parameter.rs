//! Types of parameters that several checks take from a suite file.

use std::time::Duration;

use jiff::SignedDuration;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A duration such as `60s` or `10m`; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "SignedDuration")]
pub struct Span(pub Duration);

impl TryFrom<SignedDuration> for Span {
    type Error = &'static str;

    fn try_from(signed: SignedDuration) -> Result<Self, Self::Error> {
        Duration::try_from(signed).map(Self).map_err(|_| "a duration must not be negative")
    }
}

impl Span {
    /// For arithmetic with timestamps.
    pub fn signed(self) -> SignedDuration {
        SignedDuration::try_from(self.0).unwrap_or(SignedDuration::MAX)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.signed())
    }
}

/// A regular expression.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(pub Regex);

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Regex::new(&text).map(Self)
    }
}

/// An export.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Export {
    /// The container that files are written in: the NFS server's.
    pub container: String,
    /// The export's folder in it.
    pub folder: String,
}

/// A container that copies the export to the tester's folder, in cycles.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sidecar {
    /// Its name.
    pub container: String,
    /// The line of its log that ends a cycle.
    pub cycle_end: Pattern,
    /// The line that it says its interval with when it starts, in seconds in the first group.
    pub interval: Pattern,
}

/// Something that a server should have, as the values say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fact {
    /// The path in the values, such as `service.nodePort`.
    pub values: String,
    /// What holds where the values do not have it.
    pub default: Option<Value>,
}

/// What a server should have, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The value; `None` if anything will do.
    pub value: Option<Value>,
    /// Who says so, for messages.
    pub source: String,
}

impl Expected {
    /// The value as text, also if it is a number; `None` if anything will do.
    pub fn text(&self) -> Option<String> {
        self.value.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }
}
