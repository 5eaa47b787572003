//! A run as its reports tell it, with the verdict of each test: what all reports read, and the published shape of the JSON.
//! Imports `error`, `event` and `profile`.

use std::fmt::Display;

use std::collections::HashMap;

use indexmap::IndexMap;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::error::Exit;
use crate::event::{Diagnosis, Fact, Hop, Notice, Outcome, Reason};
use crate::profile::Profile;

/// Counts changes that older readers cannot take.
pub const FORMAT: u32 = 1;

/// A run of file-simulator-e2e, or what one of its suites said in it.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[schemars(rename = "RunReport")]
pub struct Run {
    /// 1; higher when a reader of today could no longer read it. Fields may be added without that.
    pub format: u32,
    /// The version of the program that ran or replayed it.
    pub program: String,
    /// When the run began, by the clock of the machine that it ran on.
    pub started: Timestamp,
    /// How long it took, in milliseconds; 0 until it ended.
    pub millis: u64,
    /// What came of it.
    pub conclusion: Conclusion,
    /// The program's exit code, where the reports know it: not before the end, and not of a run that was refused.
    pub exit_code: Option<u8>,
    /// Why it could not start.
    pub refusal: Option<String>,
    /// Whether the cluster was a simulated one: then it says nothing of a real one.
    pub is_simulated: bool,
    /// Which cluster, release and run this is.
    pub facts: Vec<Fact>,
    /// The suites that this report is about.
    pub suites: Vec<String>,
    /// How many tests ended how.
    pub counts: Counts,
    /// Where a file's way is broken: a row for each server.
    pub grid: Vec<Row>,
    /// The tests, in the order of their suites.
    pub tests: Vec<Test>,
    /// What is known of servers that are broken.
    pub diagnosed: Vec<Diagnosis>,
    /// What concerns no single test.
    pub notices: Vec<Notice>,
}

impl Run {
    /// The tests that keep the run from being green and say why themselves.
    pub fn failures(&self) -> impl Iterator<Item = &Test> {
        self.wrong().filter(|(_, is_told)| !is_told).map(|(test, _)| test)
    }

    /// The other tests that keep it from being green, by their one line: they are blocked, not finished, or could not be judged for
    /// one and the same reason.
    pub fn blocked(&self) -> IndexMap<&str, Vec<&Test>> {
        let mut blocked: IndexMap<_, Vec<_>> = IndexMap::new();
        for (test, _) in self.wrong().filter(|(_, is_told)| *is_told) {
            blocked.entry(test.headline.as_str()).or_default().push(test);
        }
        blocked
    }

    /// The tests that keep it from being green, and whether a line tells of each with others.
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

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// It still runs, or was killed.
    #[default]
    NotFinished,
    /// It could not start.
    Refused,
    /// A signal stopped it.
    Interrupted,
    /// At least one FAIL.
    Failed,
    /// At least one ERROR and no FAIL.
    CouldNotJudge,
    /// Nothing was selected, or everything was skipped.
    NothingJudged,
    /// At least one PASS, no FAIL and no ERROR.
    Passed,
}

impl Conclusion {
    /// How the program ends; of a run that was refused, its refusal says it.
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

/// Numbers of tests; the outcomes add up to `tests`.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// All tests that were selected.
    pub tests: usize,
    /// The system is as required.
    pub pass: usize,
    /// The system is wrong.
    pub fail: usize,
    /// It could not be judged.
    pub error: usize,
    /// The user's choice, or an optional part that is absent.
    pub skip: usize,
    /// Those among the errors that had not ended when this was written.
    pub not_finished: usize,
}

/// A server's marks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Row {
    /// The server.
    pub server: String,
    /// Its hops, in the order of a file's way.
    pub hops: Vec<Mark>,
}

/// What is known of a hop of a server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Mark {
    /// The hop: host, mount, init, export, sidecar, NFS.
    pub hop: &'static str,
    /// `ok`, `FAIL`, `?` (could not be judged), `skip`, or `.` (not asked).
    pub mark: &'static str,
}

/// A test.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "TestReport")]
pub struct Test {
    /// Its suite.
    pub suite: String,
    /// Its name within the suite, `check::server`; unique and stable.
    pub name: String,
    /// The server that it judges, if it judges one.
    pub server: Option<String>,
    /// How it ended.
    #[serde(serialize_with = "word")]
    #[schemars(schema_with = "outcomes")]
    pub outcome: Outcome,
    /// Whether it had ended when this was written; if not, it is an ERROR.
    pub is_finished: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Everything in one line.
    pub headline: String,
    /// What was established; of a SKIP, its reason.
    pub summary: String,
    /// Why it is not a PASS.
    pub reasons: Vec<Reason>,
    /// True things that break no requirement.
    pub notes: Vec<String>,
    /// The hop that is broken, where it is known.
    pub hop: Option<&'static str>,
    /// The test that says more, where this one could not even begin: its name within its suite.
    pub blocked_by: Option<String>,
    /// When files that it followed came and went.
    pub transfers: Option<Transfers>,
    /// The hops that a PASS of it proves.
    #[serde(skip)]
    pub hops: &'static [Hop],
}

impl Test {
    /// The name in the run, `suite::check::server`.
    pub fn id(&self) -> String {
        format!("{}::{}", self.suite, self.name)
    }

    /// Whether it keeps the run from being green.
    pub fn is_wrong(&self) -> bool {
        matches!(self.outcome, Outcome::Fail | Outcome::Error)
    }
}

/// Files on their way to the host folder; times are milliseconds since the run began.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Transfers {
    /// The longest time that a file may take.
    pub limit: u64,
    /// The files.
    pub files: Vec<Transfer>,
    /// When cycles of the sidecar ended.
    pub cycles: Vec<u64>,
    /// The times that those files took that arrived.
    pub profile: Option<Profile>,
}

/// A file on its way.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Transfer {
    /// When its write was acknowledged.
    pub written: u64,
    /// When it was there; none if it did not come in time.
    pub arrived: Option<u64>,
}

fn word<S: Serializer>(word: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(word)
}

fn outcomes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["PASS", "FAIL", "ERROR", "SKIP"] })
}
