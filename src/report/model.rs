//! The model of a run that all reports are made from, and the published schema of the JSON report. Imports `error`, `event` and
//! `profile`.

use std::fmt::Display;

use std::collections::HashMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::event::{Diagnosis, Fact, Hop, Notice, Outcome, Reason};
use crate::exit_code::Exit;
use crate::profile::Profile;

/// Increased by incompatible changes.
pub const FORMAT: u32 = 1;

/// A run of file-simulator-e2e, or the part of one suite in it.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(rename = "RunReport")]
pub struct Run {
    /// The version of the format: 1. Incompatible changes increase it; new fields do not.
    pub format: u32,
    /// The version of the program that ran or replayed the tests.
    pub program: String,
    /// When the run started, by the clock of the machine that ran it.
    pub started: Timestamp,
    /// The duration of the run in milliseconds; 0 until it ends.
    pub millis: u64,
    /// The conclusion.
    pub conclusion: Conclusion,
    /// The program's exit code; absent until the run ends, and if the run was refused.
    pub exit_code: Option<u8>,
    /// Why the run could not start.
    pub refusal: Option<String>,
    /// Whether the cluster was simulated: then the results do not apply to a real cluster.
    pub is_simulated: bool,
    /// The cluster, the release and other facts about the run.
    pub facts: Vec<Fact>,
    /// The suites in this report.
    pub suites: Vec<String>,
    /// The number of tests by outcome.
    pub counts: Counts,
    /// Where files get stuck: a row for each server.
    pub grid: Vec<Row>,
    /// The tests, in the order of their suites.
    pub tests: Vec<Test>,
    /// The diagnoses of broken servers.
    pub diagnosed: Vec<Diagnosis>,
    /// Messages that belong to no single test.
    pub notices: Vec<Notice>,
}

impl Run {
    /// The failed tests with a reason of their own.
    pub fn failures(&self) -> impl Iterator<Item = &Test> {
        self.wrong().filter(|(_, is_grouped)| !is_grouped).map(|(test, _)| test)
    }

    /// The other failed tests, grouped by headline: they are blocked, not finished, or ERROR for the same reason.
    pub fn blocked(&self) -> IndexMap<&str, Vec<&Test>> {
        let mut blocked: IndexMap<_, Vec<_>> = IndexMap::new();
        for (test, _) in self.wrong().filter(|(_, is_grouped)| *is_grouped) {
            blocked.entry(test.headline.as_str()).or_default().push(test);
        }
        blocked
    }

    /// The failed tests, and whether each is grouped with others.
    fn wrong(&self) -> impl Iterator<Item = (&Test, bool)> {
        let mut alike: HashMap<&str, usize> = HashMap::new();
        for test in self.tests.iter().filter(|test| test.outcome == Outcome::Error) {
            *alike.entry(&test.headline).or_default() += 1;
        }
        self.tests.iter().filter(|test| test.is_wrong()).map(move |test| {
            let is_alike = alike.get(test.headline.as_str()).is_some_and(|count| *count > 1);
            let is_unjudged = test.outcome == Outcome::Error && is_alike;
            (test, !test.is_finished || test.blocked_by.is_some() || is_unjudged)
        })
    }
}

/// The conclusion of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// The run is in progress, or was killed.
    #[default]
    NotFinished,
    /// The run could not start.
    Refused,
    /// A signal stopped the run.
    Interrupted,
    /// At least one FAIL.
    Failed,
    /// No FAIL, but an ERROR or an incomplete cleanup.
    CouldNotJudge,
    /// Nothing was selected, or everything was skipped.
    NothingJudged,
    /// At least one PASS, no FAIL and no ERROR.
    Passed,
}

impl Conclusion {
    /// The exit code, except for a refused run: its refusal has one.
    pub fn exit(self) -> Option<Exit> {
        match self {
            Self::NotFinished | Self::Refused => None,
            Self::Interrupted => Some(Exit::Interrupted),
            Self::Failed => Some(Exit::Failed),
            Self::CouldNotJudge => Some(Exit::CouldNotJudge),
            Self::NothingJudged => Some(Exit::Nothing),
            Self::Passed => Some(Exit::Passed),
        }
    }
}

/// The number of tests by outcome; the outcomes add up to `tests`.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// The selected tests.
    pub tests: usize,
    /// PASS: the system is as required.
    pub pass: usize,
    /// FAIL: a requirement is not met.
    pub fail: usize,
    /// ERROR: could not be judged.
    pub error: usize,
    /// SKIP: the user's choice, an absent optional part, or covered by another suite.
    pub skip: usize,
    /// The errors of tests that had not finished when this report was written.
    pub not_finished: usize,
}

/// A row of the grid.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Row {
    /// The server.
    pub server: String,
    /// Its hops, in the order of a file's path.
    pub hops: Vec<Mark>,
}

/// The state of a hop of a server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Mark {
    /// The hop: host, mount, init, export, sidecar, NFS.
    pub hop: &'static str,
    /// `ok`, `FAIL`, `?` (could not be judged), `skip`, or `.` (not tested).
    pub mark: &'static str,
}

/// A test.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "TestReport")]
pub struct Test {
    /// The test's suite.
    pub suite: String,
    /// The name within the suite, `slug::server`; unique and stable.
    pub name: String,
    /// The server that the test judges, if any.
    pub server: Option<String>,
    /// The outcome.
    #[serde(serialize_with = "word")]
    #[schemars(schema_with = "outcomes")]
    pub outcome: Outcome,
    /// Whether the test had finished when this report was written; if not, it is an ERROR.
    pub is_finished: bool,
    /// The duration in milliseconds.
    pub millis: u64,
    /// The result in one line.
    pub headline: String,
    /// What was established; for a SKIP, its reason.
    pub summary: String,
    /// Why the test is not a PASS.
    pub reasons: Vec<Reason>,
    /// Facts that are worth knowing and break no requirement.
    pub notes: Vec<String>,
    /// The broken hop, if known.
    pub hop: Option<&'static str>,
    /// The test whose result explains why this one could not be judged: its name within its suite.
    pub blocked_by: Option<String>,
    /// When the test's files were written and arrived.
    pub transfers: Option<Transfers>,
    /// The hops that a PASS proves to work.
    #[serde(skip)]
    pub hops: &'static [Hop],
}

impl Test {
    /// The full name, `suite::slug::server`.
    pub fn id(&self) -> String {
        format!("{}::{}", self.suite, self.name)
    }

    /// Whether the test keeps the run from passing.
    pub fn is_wrong(&self) -> bool {
        matches!(self.outcome, Outcome::Fail | Outcome::Error)
    }
}

/// Transfers to the host folder; times are milliseconds since the start of the run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Transfers {
    /// The latency limit in milliseconds.
    pub limit: u64,
    /// The files.
    pub files: Vec<Transfer>,
    /// When the sidecar's sync cycles ended.
    pub cycles: Vec<u64>,
    /// The latencies of the files that arrived.
    pub profile: Option<Profile>,
}

/// The transfer of a file.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Transfer {
    /// When its write was acknowledged.
    pub written: u64,
    /// When it arrived; absent if it did not arrive in time.
    pub arrived: Option<u64>,
}

fn word<S: Serializer>(word: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(word)
}

fn outcomes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["PASS", "FAIL", "ERROR", "SKIP"] })
}
