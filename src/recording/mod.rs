//! Recordings of runs: what each test observed, so that it can be judged again elsewhere, without a cluster.
//!
//! JSON, gzipped: the suites as they were, the run's facts, and for each test its observation and verdict. Kubernetes
//! objects, which many tests observe, stand in it once. What may hold secrets is left out (see [`Objects::pack`]).
//! Imports `event`, `error` and `replace`.

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

/// Counts changes of the format that older programs cannot read.
const FORMAT: u32 = 3;

#[derive(Debug, Serialize, Deserialize)]
pub struct Recording {
    /// [`FORMAT`] of the program that wrote it.
    format: u32,
    pub program: String,
    /// When the run began, if it did.
    pub started: Option<Timestamp>,
    pub facts: Vec<Fact>,
    /// What was known of servers that were broken, by their names.
    pub diagnosed: Vec<(String, Vec<Section>)>,
    pub suites: Vec<SuiteText>,
    pub planned: Vec<TestId>,
    #[serde(rename = "cases")]
    pub tests: Vec<RecordedTest>,
    /// What concerned no single test, and whether the run could not be green with it.
    pub notices: Vec<(String, bool)>,
    pub ending: Ending,
    pub millis: u64,
    pub objects: Objects,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteText {
    pub origin: String,
    pub text: String,
    /// The system that it names; `None` if that stands in it.
    pub system: Option<Text>,
}

/// A file's text, and where it is from.
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
    /// What it observed, packed; `None` if the verdict is not a judgement of an observation alone.
    pub seen: Option<Value>,
}

impl Recording {
    /// A recording of a run of these suites that has not begun.
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

    /// Writes it into a file, which is made or replaced: beside it first, so that nothing good is lost.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let write = || {
            let target = replace::target(path)?;
            let file = beside(&target)?;
            let mut packed = GzEncoder::new(file.as_file(), Compression::best());
            serde_json::to_writer(&mut packed, self)?;
            packed.finish()?.sync_all()?;
            file.persist(&target)?;
            anyhow::Ok(())
        };
        write().with_context(|| format!("cannot write the recording {}", path.display()))
    }

    /// Reads it from a file.
    ///
    /// # Errors
    /// A refusal with exit code 2: no such file, no recording, or one of another format.
    pub fn read(path: &Path) -> Result<Self, Refusal> {
        let place = path.display();
        let file = File::open(path).map_err(|error| {
            Refusal::usage(
                format!("cannot read the recording {place}: {error}"),
                "give the path that --record wrote to",
            )
        })?;
        let hint = "give a file that --record wrote";
        let read: serde_json::Result<Value> = serde_json::from_reader(std::io::BufReader::new(GzDecoder::new(file)));
        let refused = |error: serde_json::Error| {
            let why = match error.classify() {
                Category::Data => error.to_string(),
                _ => "it is no gzipped JSON, or damaged, or its end is missing".to_owned(),
            };
            Refusal::usage(format!("{place} is no recording: {why}"), hint)
        };
        // By way of a value, of which the format is known before the rest has to fit.
        let read = read.map_err(refused)?;
        if let Some(format) = read["format"].as_u64().filter(|format| *format != u64::from(FORMAT)) {
            let what = format!("{place} is a recording of format {format}, and this program reads format {FORMAT}");
            return Err(Refusal::usage(what, "record the run again, or replay it with the program that recorded it"));
        }
        serde_json::from_value(read).map_err(refused)
    }
}

/// Finds out whether a recording can be written there, and makes its folder.
///
/// # Errors
/// A refusal with exit code 2.
pub fn probe(path: &Path) -> Result<(), Refusal> {
    let refused = |error: std::io::Error| {
        let what = format!("cannot write the recording {}: {error}", path.display());
        Refusal::usage(what, "give a path that can be written to with --record or FILE_SIMULATOR_RECORD")
    };
    let target = replace::target(path).map_err(refused)?;
    std::fs::create_dir_all(replace::folder(&target)).map_err(refused)?;
    beside(&target).map(drop).map_err(refused)
}

fn beside(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".recording-").tempfile_in(replace::folder(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json.gz");
        assert!(Recording::read(&path).is_err());
        // As an older program wrote it, without what came since.
        let old =
            br#"{"format": 1, "program": "0.1.0", "facts": [], "suites": [{"origin": "x", "text": "y"}], "cases": []}"#;
        let mut packed = GzEncoder::new(File::create(&path).unwrap(), Compression::fast());
        std::io::Write::write_all(&mut packed, old).unwrap();
        packed.finish().unwrap();
        let refused = Recording::read(&path).unwrap_err();
        assert!(refused.what.contains("of format 1, and this program reads format 3"), "{refused}");
        Recording::new(Vec::new()).write(&path).unwrap();
        assert!(Recording::read(&path).is_ok());
    }
}
