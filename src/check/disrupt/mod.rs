//! Disruptive checks: they delete pods, and run only if the user allows it.

mod judge;
mod precheck;
mod replacement;
mod restart;
mod seen;

use serde::Deserialize;

use crate::check::parameter::DurationParam;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Restart {
    /// The longest time from the replacement's creation until a tester's file is in its export.
    pub within: DurationParam,
    /// What must become of a file that a client wrote to the export.
    pub written: Written,
    /// The longest time for that file to arrive in the host folder, before the pod is deleted.
    pub synced_within: Option<DurationParam>,
}

/// What must become of a file in an export when its pod is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Written {
    /// It is gone with the export: the host folder is the source of truth.
    Lost,
    /// It comes back from the host folder, to which it had been copied.
    Kept,
}
