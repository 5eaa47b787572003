//! The JSON Schema of suite files, for editors. [`explain`](super::explain) presents it as text.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::SuiteFile;
use crate::check::System;

/// The schema of suites (draft 2020-12).
pub fn schema() -> Value {
    titled::<SuiteFile>("A suite of file-simulator-e2e")
}

pub fn system() -> Value {
    titled::<System>("A system under test of file-simulator-e2e")
}

fn titled<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    schema.to_value()
}
