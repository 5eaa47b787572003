//! The JSON of a suite.

use super::model::RunReport;

/// The report as JSON.
pub fn text(report: &RunReport) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}
