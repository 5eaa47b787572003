//! Types of parameters that several checks take from a suite file.

use std::time::Duration;

use jiff::SignedDuration;
use regex::Regex;
use serde::Deserialize;

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
