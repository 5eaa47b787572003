//! Scenarios, read from YAML: what is broken in a simulated cluster, and which tests must not pass there.
//!
//! Imports only `error` and the kinds of objects.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;

mod fault;

pub(super) use fault::{ApiFault, Behaviour, Clock, Fault, Start};

use crate::error::{Refusal, suggestion};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    pub name: String,
    pub about: String,
    /// The affected server. Test names without a server mean this server's tests; without `server`, those of all servers.
    #[serde(default)]
    pub server: String,
    /// The suites to run; `phase2` and `phase3` if empty.
    #[serde(default)]
    pub suites: Vec<String>,
    #[serde(default)]
    pub(super) faults: Vec<Fault>,
    #[serde(default)]
    pub(super) counts_from: Start,
    #[serde(default)]
    pub(super) clock: Clock,
    #[serde(default)]
    pub fail: Vec<String>,
    #[serde(default)]
    pub error: Vec<String>,
    /// Parts of test names: of the matching tests at least one is an ERROR and the others PASS; timing decides which.
    #[serde(default)]
    pub errors_among: Vec<String>,
    /// Whether all tests of `errors_among` may pass, because a run can survive the fault.
    #[serde(default)]
    pub may_pass: bool,
    /// How long the run waits for rollouts to settle; `None` for the default.
    pub settle: Option<SignedDuration>,
    /// Whether the run may leave files, because it cannot reach the cluster to remove them.
    #[serde(default)]
    pub leaves_files: bool,
    /// Whether the run cannot start (exit code 3).
    #[serde(default)]
    pub refused: bool,
}

const FILES: [&str; 3] = [include_str!("healthy.yaml"), include_str!("broken.yaml"), include_str!("motion.yaml")];

pub const HEALTHY: &str = "healthy";

/// # Errors
/// An internal error: a file is invalid.
pub fn all() -> Result<Vec<Scenario>, Refusal> {
    // Parsed via `Value`, which compiles much faster than deserializing each type from YAML.
    let read = |text: &&str| anyhow::Ok(serde_json::from_value::<Vec<Scenario>>(serde_saphyr::from_str(text)?)?);
    let read: Result<Vec<_>, _> = FILES.iter().map(read).collect();
    let invalid = |error| Refusal::start(format!("cannot read the built-in scenarios: {error:#}"), "report this bug");
    Ok(read.map_err(invalid)?.into_iter().flatten().collect())
}

/// # Errors
/// Exit code 2: the scenario does not exist.
pub fn named(name: &str) -> Result<Scenario, Refusal> {
    let mut all = all()?;
    if let Some(index) = all.iter().position(|scenario| scenario.name == name) {
        return Ok(all.swap_remove(index));
    }
    let hint = suggestion(name, all.iter().map(|scenario| scenario.name.as_str()));
    let hint = format!("{hint} --simulate=help lists all scenarios");
    Err(Refusal::usage(format!("no scenario `{name}`"), hint.trim_start()))
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String], outcome: &str| match names {
            [] => None,
            names => Some(format!("{outcome} {}", names.join(", "))),
        };
        let refused = self.refused.then(|| "the run cannot start (exit code 3)".to_owned());
        let among = list(&self.errors_among, "some ERROR among");
        let wrong: Vec<_> =
            [list(&self.fail, "FAIL"), list(&self.error, "ERROR"), among, refused].into_iter().flatten().collect();
        let wrong = if wrong.is_empty() { "all tests pass".to_owned() } else { wrong.join("; ") };
        let server = if self.server.is_empty() { String::new() } else { format!("{}: ", self.server) };
        write!(f, "{}: {server}{}; {wrong}", self.name, self.about)
    }
}

impl Scenario {
    /// Whether faults count their `after` from such a request.
    pub(super) fn starts_clock(&self, resource: &str, name: Option<&str>) -> bool {
        match self.counts_from {
            Start::FirstRequest => true,
            Start::FirstCommand => resource == "pods/exec" && name.is_some_and(|pod| pod.contains(&self.server)),
        }
    }

    pub(super) fn behaviour(&self, server: &str, container: &str) -> Option<Behaviour> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Container { name, does } => (name == container && self.server == server).then_some(*does),
            _ => None,
        })
    }

    pub(super) fn api_fault(&self, verb: &str, resource: &str, elapsed: Duration) -> Option<ApiFault> {
        let mut faults = self.api_faults(verb, resource);
        faults.find_map(|(begin, end, fault)| (begin <= elapsed && elapsed < end).then_some(fault))
    }

    /// When the next fault ends an open connection, and how.
    pub(super) fn next_api_fault(&self, verb: &str, resource: &str, elapsed: Duration) -> Option<(Duration, ApiFault)> {
        let ends_connections = |fault: &ApiFault| matches!(fault, ApiFault::Closed | ApiFault::Silence);
        let mut faults = self.api_faults(verb, resource);
        let next = faults.find(|(begin, _, fault)| *begin > elapsed && ends_connections(fault));
        next.map(|(begin, _, fault)| (begin, fault))
    }

    /// The faults for such requests, with their begin and end.
    fn api_faults(&self, verb: &str, resource: &str) -> impl Iterator<Item = (Duration, Duration, ApiFault)> {
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
