//! The JSON of a suite, and the schema that is published of it.

use super::model::RunReport;

/// The report as JSON.
pub fn text(report: &RunReport) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

/// The JSON Schema of the reports, which `docs/report.schema.json` holds.
pub fn schema() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&schemars::schema_for!(RunReport))? + "\n")
}
