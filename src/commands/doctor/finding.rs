//! What `doctor` found: a line each, and what to do about it. Pure.

use std::fmt;

use owo_colors::{OwoColorize, Stream};

use crate::error::Refusal;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Pass,
    /// A run goes on, and says less.
    Warn,
    /// A run cannot start, or tests cannot be judged.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at, in a word.
    pub what: &'static str,
    /// What was seen.
    pub seen: String,
    /// What the user can do; may be empty.
    pub hint: String,
}

impl Finding {
    /// All is well.
    pub fn pass(what: &'static str, seen: impl Into<String>) -> Self {
        Self { level: Level::Pass, what, seen: seen.into(), hint: String::new() }
    }

    /// A run goes on, and says less.
    pub fn warn(what: &'static str, seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { level: Level::Warn, what, seen: seen.into(), hint: hint.into() }
    }

    /// A run cannot start, or tests cannot be judged.
    pub fn fail(what: &'static str, seen: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { level: Level::Fail, what, seen: seen.into(), hint: hint.into() }
    }

    /// What a run would be refused for.
    pub fn refused(what: &'static str, refusal: Refusal) -> Self {
        Self::fail(what, refusal.what, refusal.hint)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Pass => "PASS".if_supports_color(Stream::Stdout, |text| text.green()).to_string(),
            Level::Warn => "WARN".if_supports_color(Stream::Stdout, |text| text.yellow()).to_string(),
            Level::Fail => "FAIL".if_supports_color(Stream::Stdout, |text| text.red()).to_string(),
        };
        write!(f, "{level}  {:<12} {}", self.what, self.seen.replace('\n', " "))?;
        let hints = self.hint.lines().enumerate();
        hints
            .map(|(index, line)| (if index == 0 { "do:" } else { "" }, line))
            .try_for_each(|(name, line)| write!(f, "\n      {name:<12} {line}"))
    }
}
