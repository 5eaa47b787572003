//! Recordings of runs: the observation of each test, to judge it again without a cluster.
//!
//! Gzipped JSON with the suites, the run's facts, and the observation and verdict of each test. Kubernetes objects, which many
//! tests observe, are stored once, and without possible secrets (see [`Objects::pack`]).

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;

use crate::error::Refusal;
use crate::event::{Ending, Fact, Section, TestId, Verdict};
use crate::replace;

mod objects;

pub use objects::Objects;

/// Increased by incompatible changes of the format.
const FORMAT: u32 = 3;

#[derive(Debug, Serialize, Deserialize)]
pub struct Recording {
    /// [`FORMAT`] of the program that wrote it.
    format: u32,
    /// The version of the program.
    pub program: String,
    /// When the run began, if it did.
    pub started: Option<Timestamp>,
    pub facts: Vec<Fact>,
    /// The diagnoses by server.
    pub diagnosed: Vec<(String, Vec<Section>)>,
    pub suites: Vec<SuiteText>,
    pub planned: Vec<TestId>,
    #[serde(rename = "cases")]
    pub tests: Vec<RecordedTest>,
    /// Each with whether it kept the run from passing.
    pub notices: Vec<(String, bool)>,
    pub ending: Ending,
    pub millis: u64,
    pub objects: Objects,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteText {
    pub origin: String,
    pub text: String,
    /// The system file that the suite names; `None` if the suite describes its system itself.
    pub system: Option<Text>,
}

/// A file's text and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    pub origin: String,
    pub text: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RecordedTest {
    pub id: TestId,
    pub millis: u64,
    pub verdict: Verdict,
    /// The packed observation; `None` if the verdict depends on something else, too.
    pub seen: Option<Value>,
}

impl Recording {
    /// The recording of a run of these suites that has not begun.
    pub fn new(suites: Vec<SuiteText>) -> Self {
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started: None,
            facts: Vec::new(),
            diagnosed: Vec::new(),
            suites,
            planned: Vec::new(),
            tests: Vec::new(),
            notices: Vec::new(),
            ending: Ending::Completed,
            millis: 0,
            objects: Objects::default(),
        }
    }

    /// Writes the recording: a temporary file first, so that an error does not destroy an older recording.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = || {
            let (file, target) = replace::temporary(path, false)?;
            let mut packed = GzEncoder::new(file.as_file(), Compression::best());
            serde_json::to_writer(&mut packed, self)?;
            packed.finish()?.sync_all()?;
            file.persist(target)?;
            anyhow::Ok(())
        };
        write().with_context(|| format!("cannot write the recording {}", path.display()))
    }

    /// Reads a recording.
    /// Errors: the file does not exist, is not a recording, or has another format: exit code 2.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let place = path.display();
        let hint = "give a file that --record wrote";
        let file = File::open(path)
            .map_err(|error| Refusal::usage(format!("cannot read the recording {place}: {error}"), hint))?;
        let read: serde_json::Result<Value> = serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(file)));
        let refused = |error: serde_json::Error| {
            let why = match error.classify() {
                Category::Data => error.to_string(),
                _ => "the file is not gzipped JSON, or is corrupted or truncated".to_owned(),
            };
            Refusal::usage(format!("{place} is not a recording: {why}"), hint)
        };
        // First as a value, to check the format before the structure.
        let read = read.map_err(refused)?;
        if let Some(format) = read["format"].as_u64().filter(|format| *format != u64::from(FORMAT)) {
            let what = format!("{place} is a recording of format {format}, but this program reads format {FORMAT}");
            return Err(Refusal::usage(what, "record the run again, or replay it with the program that recorded it"));
        }
        serde_json::from_value(read).map_err(refused)
    }
}

/// Checks that a recording can be written, and creates its folder.
/// Errors: the file cannot be written: exit code 2.
pub fn probe(path: &Path) -> Result<(), Refusal> {
    let refused = |error: std::io::Error| {
        let what = format!("cannot write the recording {}: {error}", path.display());
        Refusal::usage(what, "give a writable path with --record or FILE_SIMULATOR_RECORD")
    };
    replace::temporary(path, false).map(drop).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json.gz");
        assert!(Recording::read(&path).is_err());
        // As written by an older program, without newer fields.
        let old =
            br#"{"format": 1, "program": "0.1.0", "facts": [], "suites": [{"origin": "x", "text": "y"}], "cases": []}"#;
        let mut packed = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        std::io::Write::write_all(&mut packed, old).unwrap();
        packed.finish().unwrap();
        let refused = Recording::read(&path).unwrap_err();
        assert!(refused.what.contains("of format 1, but this program reads format 3"), "{refused}");
        Recording::new(Vec::new()).write(&path).unwrap();
        assert!(Recording::read(&path).is_ok());
    }
}
