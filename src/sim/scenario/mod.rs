//! Scenarios: what is broken in a simulated cluster, and which tests must not pass there. Data, read from YAML.
//!
//! Imports `error` and the kinds of objects, nothing else of ours.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

mod fault;

pub(super) use fault::{Answer, Behaviour, Clock, Fault};

use crate::error::{Refusal, suggestion};

/// A cluster in which something is broken, or only unusual.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    pub broken: String,
    /// The server that it is about; names of tests without a server are of this one, or else of all servers.
    #[serde(default)]
    pub server: String,
    /// The suites that it is tried with; none: `phase2` and `phase3`.
    #[serde(default)]
    pub suites: Vec<String>,
    #[serde(default)]
    pub(super) faults: Vec<Fault>,
    /// How many servers there are, if more than seven: each further one is made like one of these, and has a number behind
    /// its name.
    #[serde(default)]
    pub(super) servers: usize,
    #[serde(default)]
    pub(super) clock: Clock,
    #[serde(default)]
    pub fail: Vec<String>,
    #[serde(default)]
    pub error: Vec<String>,
    /// Parts of tests' names, of which at least one ends in ERROR; which, and whether the others pass, is decided by the
    /// moment.
    #[serde(default)]
    pub errors_among: Vec<String>,
    /// Whether all of those may pass, because a run rides out what happens.
    #[serde(default)]
    pub may_pass: bool,
    /// How long rollouts may take to settle, where that is much longer than the run.
    pub settle: Option<SignedDuration>,
    /// Whether files of the run are left, because the cluster is not there to remove them from.
    #[serde(default)]
    pub leaves_files: bool,
    /// Whether the run is refused, with exit code 3.
    #[serde(default)]
    pub refused: bool,
}

const FILES: [&str; 3] = [include_str!("healthy.yaml"), include_str!("broken.yaml"), include_str!("motion.yaml")];

pub const HEALTHY: &str = "healthy";

/// All scenarios, in the order of their files.
///
/// # Errors
/// A defect of this program: a file cannot be read.
pub fn all() -> Result<Vec<Scenario>, Refusal> {
    // By way of a value, which costs the compiler a fraction of what reading each type from YAML does.
    let read = |text: &&str| anyhow::Ok(serde_json::from_value::<Vec<Scenario>>(serde_saphyr::from_str(text)?)?);
    let read: Result<Vec<_>, _> = FILES.iter().map(read).collect();
    let broken = |error| Refusal::start(format!("the built-in scenarios cannot be read: {error:#}"), "report this");
    Ok(read.map_err(broken)?.into_iter().flatten().collect())
}

/// The scenario of that name.
///
/// # Errors
/// A refusal with exit code 2: there is none.
pub fn named(name: &str) -> Result<Scenario, Refusal> {
    let mut all = all()?;
    if let Some(index) = all.iter().position(|scenario| scenario.name == name) {
        return Ok(all.swap_remove(index));
    }
    let hint = suggestion(name, all.iter().map(|scenario| scenario.name.as_str()));
    let hint = format!("{hint} --simulate=help lists them");
    Err(Refusal::usage(format!("there is no scenario `{name}`"), hint.trim_start()))
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let its = |names: &[String], outcome: &str| match names {
            [] => None,
            names => Some(format!("{outcome} {}", names.join(", "))),
        };
        let refused = self.refused.then(|| "refused, exit code 3".to_owned());
        let moving = its(&self.errors_among, "ERROR of some with");
        let wrong: Vec<_> =
            [its(&self.fail, "FAIL"), its(&self.error, "ERROR"), moving, refused].into_iter().flatten().collect();
        let wrong = if wrong.is_empty() { "all green".to_owned() } else { wrong.join("; ") };
        let server = if self.server.is_empty() { String::new() } else { format!("{}: ", self.server) };
        write!(f, "{}: {server}{}; {wrong}", self.name, self.broken)
    }
}

impl Scenario {
    /// What a container of a server does instead of its work.
    pub(super) fn behaviour(&self, server: &str, container: &str) -> Option<Behaviour> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Container { name, does } => (name == container && self.server == server).then_some(*does),
            _ => None,
        })
    }

    /// What a request gets instead of an answer, so long after the first request.
    pub(super) fn answer(&self, verb: &str, resource: &str, elapsed: Duration) -> Option<Answer> {
        let mut apis = self.apis(verb, resource);
        apis.find_map(|(begin, end, gets)| (begin <= elapsed && elapsed < end).then_some(gets))
    }

    /// What begins later and hits a connection that is still open then, and when after the first request.
    pub(super) fn later(&self, verb: &str, resource: &str, elapsed: Duration) -> Option<(Duration, Answer)> {
        let is_hit = |gets: &Answer| matches!(gets, Answer::Closed | Answer::Silence);
        let mut later = self.apis(verb, resource).filter(|(begin, _, gets)| *begin > elapsed && is_hit(gets));
        later.next().map(|(begin, _, gets)| (begin, gets))
    }

    /// What requests get, from when to when.
    fn apis(&self, verb: &str, resource: &str) -> impl Iterator<Item = (Duration, Duration, Answer)> {
        let matches = |words: &[String], word: &str| words.is_empty() || words.iter().any(|listed| listed == word);
        self.faults.iter().filter_map(move |fault| match fault {
            Fault::Api { verbs, resources, gets, after, lasts }
                if matches(verbs, verb) && matches(resources, resource) =>
            {
                let begin = after.map_or(Duration::ZERO, SignedDuration::unsigned_abs);
                Some((begin, lasts.map_or(Duration::MAX, |lasts| begin + lasts.unsigned_abs()), *gets))
            }
            _ => None,
        })
    }
}
