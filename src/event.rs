//! The events of a run: the only types that running and reporting share.
//!
//! Their order is guaranteed: first [`Event::RunStarted`], then at most one [`Event::Connected`]; once connected, exactly one
//! [`Event::TestFinished`] for each test; last and always [`Event::RunFinished`], even if the run was refused or interrupted.
//! Tests may interleave. Imports no other module.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A test's name, `suite::slug::server`: unique and stable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TestId {
    pub suite: String,
    pub slug: String,
    pub server: Option<String>,
}

impl TestId {
    /// The name within the suite, `slug::server`; also its name in JUnit.
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

/// A stage on a file's path between the host folder and an NFS client; a column of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Hop {
    Host,
    /// The mount of the host folder into the pod, a hostPath.
    Mount,
    /// The init container, which fills the export.
    Init,
    Export,
    /// The native sidecar, which copies the export to the host folder.
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
    /// The hops that a PASS proves to work.
    pub hops: &'static [Hop],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The system is as required.
    Pass,
    /// A requirement is not met.
    Fail,
    /// It could not be judged.
    Error,
    /// The user's choice, an absent optional part of the cluster, or covered by another suite.
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

/// One deviation from what is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The object, by kind and name.
    pub object: String,
    /// The expected state.
    pub expected: String,
    /// The last observed state.
    pub seen: String,
    /// What to do about it; may be empty.
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
    /// What was established, in one line; for a SKIP, its reason.
    pub summary: String,
    pub reasons: Vec<Reason>,
    /// Facts that are worth knowing and break no requirement.
    pub notes: Vec<String>,
    /// The broken hop, if known.
    pub hop: Option<Hop>,
    /// The test whose result explains why this one could not be judged.
    pub blocked_by: Option<String>,
    /// When the test's files were written and arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Box<Timeline>>,
}

/// Transfers to the host folder, in milliseconds since the start of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    pub limit: u64,
    /// When each file's write was acknowledged, and when the file arrived; `None` if it did not arrive in time.
    pub files: Vec<(u64, Option<u64>)>,
    /// When the sidecar's cycles ended.
    pub cycles: Vec<u64>,
}

impl Verdict {
    /// FAIL if there are reasons, else PASS.
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

    pub fn fail(reason: Reason) -> Self {
        Self::judged("", vec![reason])
    }

    pub fn error(reason: Reason) -> Self {
        Self { outcome: Outcome::Error, ..Self::judged("could not be judged", vec![reason]) }
    }

    /// ERROR because of the result of the test `by`: its full name, or the kind and server by which checks know it.
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

    /// Names the broken hop, unless the verdict is PASS.
    #[must_use]
    pub fn at(self, hop: Hop) -> Self {
        let hop = (self.outcome != Outcome::Pass).then_some(hop);
        Self { hop, ..self }
    }
}

/// The name of the fact that the cluster is simulated, so the results do not apply to a real cluster.
pub const SIMULATED: &str = "SIMULATED";

/// A fact about the run, such as the cluster's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// The name of the fact.
    pub name: Cow<'static, str>,
    /// The value.
    pub value: String,
}

/// The state of a broken server.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Diagnosis {
    /// The server.
    pub server: String,
    /// The parts of the diagnosis.
    pub sections: Vec<Section>,
}

/// A part of a diagnosis, as human-readable lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// The title, such as the name of a container's log.
    pub title: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// A message that belongs to no single test.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Notice {
    /// The message.
    pub text: String,
    /// Whether it keeps the run from passing.
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
    /// The tests were selected; no request has been sent yet.
    RunStarted {
        at: Timestamp,
        /// The requested suites, including those without a selected test.
        suites: Vec<String>,
        tests: Vec<Planned>,
    },
    /// The cluster answered.
    Connected { facts: Vec<Fact> },
    /// A test began a wait that may take long.
    TestWaiting { id: TestId, what: String, limit: Duration },
    TestFinished {
        id: TestId,
        verdict: Verdict,
        elapsed: Duration,
        /// The observation, if the run is recorded and the verdict depends on nothing else.
        seen: Option<Value>,
    },
    /// A broken server was diagnosed: at most once for each server, and before the cleanup.
    Diagnosed(Diagnosis),
    /// A signal arrived; the run cleans up within this time before it ends. Another signal skips the cleanup.
    Interrupted { cleanup_limit: Duration },
    /// Something happened that belongs to no single test, such as a file that could not be removed.
    Noticed(Notice),
    RunFinished {
        ending: Ending,
        /// The duration of the run, without writing reports.
        elapsed: Duration,
    },
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
