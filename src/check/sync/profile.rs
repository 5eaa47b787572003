//! How many files a profile of times is made of.

use serde::{Deserialize, Serialize};

/// The most files that a profile is made of: each costs the cluster a command.
const MOST: u16 = 20;

/// How many files a profile is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "u16")]
#[schemars(extend("minimum" = 1, "maximum" = MOST))]
pub struct Samples(u16);

impl Default for Samples {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u16> for Samples {
    type Error = String;

    fn try_from(count: u16) -> Result<Self, String> {
        let is_allowed = (1..=MOST).contains(&count);
        is_allowed.then_some(Self(count)).ok_or_else(|| format!("samples must be from 1 to {MOST}, not {count}"))
    }
}

impl Samples {
    /// The number.
    pub fn count(self) -> u32 {
        self.0.into()
    }
}
