//! The exit codes. Imports no other module.

use std::process::ExitCode;

/// Stable: CI jobs rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// At least one PASS, no FAIL and no ERROR.
    Passed = 0,
    /// At least one FAIL.
    Failed = 1,
    /// The command line or a suite file is invalid.
    Usage = 2,
    /// The run could not start, write its output or reports, or finish its cleanup; or an ERROR without a FAIL.
    CouldNotJudge = 3,
    /// Nothing was selected, or everything was skipped.
    Nothing = 4,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
