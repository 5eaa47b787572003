//! What happened, in past tense: the only types that running and reporting share.
//!
//! The order is a contract: [`Event::RunStarted`] first, at most one [`Event::Connected`], exactly one
//! [`Event::TestFinished`] for each test once connected, [`Event::RunFinished`] last and always, also when the run
//! was refused or interrupted. Tests may interleave. Imports nothing of ours.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of a test: `suite::slug::server`; unique and stable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TestId {
    pub suite: String,
    pub slug: String,
    pub server: Option<String>,
}

impl TestId {
    /// The name within the suite, `slug::server`; the JUnit name.
    pub fn name(&self) -> String {
        match &self.server {
            Some(server) => format!("{}::{server}", self.slug),
            None => self.slug.clone(),
        }
    }
}

impl fmt::Display for TestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.suite, self.name())
    }
}

/// A stage on a file's way between the host folder and an NFS client; a column of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hop {
    Host,
    /// The mount that makes the folder the pod's hostPath.
    Mount,
    /// The init container that fills the export.
    Init,
    Export,
    /// The native sidecar that copies the export to the folder.
    Sidecar,
    Nfs,
}

impl Hop {
    pub const ALL: [Self; 6] = [Self::Host, Self::Mount, Self::Init, Self::Export, Self::Sidecar, Self::Nfs];

    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Mount => "mount",
            Self::Init => "init",
            Self::Export => "export",
            Self::Sidecar => "sidecar",
            Self::Nfs => "NFS",
        }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[derive(Debug, Clone)]
pub struct Planned {
    pub id: TestId,
    /// The hops that a PASS of it proves.
    pub hops: &'static [Hop],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The system is as required.
    Pass,
    /// The system is wrong.
    Fail,
    /// It could not be judged.
    Error,
    /// The user's choice, or an optional part of the cluster that is absent.
    Skip,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Error => "ERROR",
            Self::Skip => "SKIP",
        })
    }
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The object, by kind and name.
    pub object: String,
    /// What it should be like.
    pub expected: String,
    /// What was seen, last.
    pub seen: String,
    /// What the user can do next; may be empty.
    pub hint: String,
}

impl Reason {
    pub fn new(object: impl Into<String>, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { object: object.into(), expected: expected.into(), seen: seen.into(), hint: String::new() }
    }

    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub outcome: Outcome,
    /// What was established, in a line; of a SKIP, its reason.
    pub summary: String,
    pub reasons: Vec<Reason>,
    /// True things that the user should know and that break no requirement.
    pub notes: Vec<String>,
    /// The hop that is broken, where it is known.
    pub hop: Option<Hop>,
    /// The test that says more, where this one could not even begin.
    pub blocked_by: Option<String>,
    /// When files that it followed came and went, for charts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Box<Timeline>>,
}

/// Files on their way to the host folder, and the cycles that brought them: in milliseconds since the run began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    pub limit: u64,
    /// When each file's write was acknowledged, and when it was there; `None` if it did not come in time.
    pub files: Vec<(u64, Option<u64>)>,
    pub cycles: Vec<u64>,
}

impl Verdict {
    /// A verdict for a finished judgement: FAIL if there are reasons, else PASS.
    pub fn judged(summary: impl Into<String>, reasons: Vec<Reason>) -> Self {
        let outcome = if reasons.is_empty() { Outcome::Pass } else { Outcome::Fail };
        Self {
            outcome,
            summary: summary.into(),
            reasons,
            notes: Vec::new(),
            hop: None,
            blocked_by: None,
            timeline: None,
        }
    }

    pub fn pass(established: impl Into<String>) -> Self {
        Self::judged(established, Vec::new())
    }

    /// FAIL, for this reason alone.
    pub fn fail(reason: Reason) -> Self {
        Self::judged("", vec![reason])
    }

    pub fn error(reason: Reason) -> Self {
        Self { outcome: Outcome::Error, ..Self::judged("could not be judged", vec![reason]) }
    }

    /// ERROR: it could not be judged, and the test `by` says why: its whole name, or, as checks know it, its kind and server.
    pub fn blocked(by: impl Into<String>, reason: Reason) -> Self {
        Self { blocked_by: Some(by.into()), ..Self::error(reason) }
    }

    pub fn skip(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skip, ..Self::judged(reason, Vec::new()) }
    }

    #[must_use]
    pub fn notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// The same with the hop that is broken, if it is not a PASS.
    #[must_use]
    pub fn at(self, hop: Hop) -> Self {
        let hop = (self.outcome != Outcome::Pass).then_some(hop);
        Self { hop, ..self }
    }
}

/// The name of the fact that a run's cluster was simulated. What such a run says holds of no real cluster.
pub const SIMULATED: &str = "SIMULATED";

/// A named fact of the run, such as the cluster's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// What it is about.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: String,
}

/// What is known of a broken server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// The server.
    pub server: String,
    /// What is known of it.
    pub sections: Vec<Section>,
}

/// A part of what is known of a broken server, in lines for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// What it is about, such as a container's log.
    pub title: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// Something that concerns no single test.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Notice {
    /// The message.
    pub text: String,
    /// Whether the run cannot be green with it.
    pub is_error: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    Completed,
    Interrupted,
    /// It could not start; the text is the refusal.
    Refused(String),
}

#[derive(Debug, Clone)]
pub enum Event {
    /// The tests are known and no request has been sent yet.
    RunStarted {
        at: Timestamp,
        /// The suites that were asked for, also those of which no test was selected.
        suites: Vec<String>,
        tests: Vec<Planned>,
    },
    /// The cluster answered.
    Connected { facts: Vec<Fact> },
    /// A test began to wait for something that may take long.
    TestWaiting { id: TestId, what: String, limit: Duration },
    TestFinished {
        id: TestId,
        verdict: Verdict,
        elapsed: Duration,
        /// What the test observed, if that is all that its verdict judges; only while the run is recorded.
        seen: Option<Value>,
    },
    /// A server was found broken and was looked at; at most once for each server, and before tidying up.
    Diagnosed(Diagnosis),
    /// A signal came, and the run tidies up before it ends; another signal skips that.
    Interrupted { tidying: Duration },
    /// Something that concerns no single test, such as a file that could not be removed.
    Noticed(Notice),
    RunFinished {
        ending: Ending,
        /// How long it took, without writing reports.
        elapsed: Duration,
    },
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
