//! The JSON Schema of suite files, for editors; [`explain`](super::explain) says the same in words.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::SuiteFile;

/// The schema, of draft 2020-12.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<SuiteFile>();
    schema.insert("title".to_owned(), "A suite of file-simulator-e2e".into());
    schema.to_value()
}
