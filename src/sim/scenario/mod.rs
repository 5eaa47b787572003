//! Scenarios: what is broken in a simulated cluster, and which tests must not pass there. Data, read from YAML.
//!
//! Imports `error` and the kinds of objects, nothing else of ours.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use super::store::Kind;
use crate::error::{Refusal, suggestion};

/// A cluster in which something is broken, or only unusual.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What is broken, in a line.
    pub broken: String,
    /// The server that it is about; names of tests without a server are of this one, or else of all servers.
    #[serde(default)]
    pub server: String,
    /// What is done to the cluster.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// The tests that FAIL.
    #[serde(default)]
    pub fail: Vec<String>,
    /// The tests that end in ERROR.
    #[serde(default)]
    pub error: Vec<String>,
    /// Parts of tests' names, of which at least one ends in ERROR; which, and whether the others pass, is decided by the
    /// moment.
    #[serde(default)]
    pub errors_among: Vec<String>,
    /// Whether files of the run are left, because the cluster is not there to remove them from.
    #[serde(default)]
    pub leaves_files: bool,
    /// Whether the run is refused, with exit code 3.
    #[serde(default)]
    pub refused: bool,
}

/// What is done to the cluster. What has an `after` is done so long after the first request, everything else before it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A JSON patch of an object of the scenario's server, such as its Deployment.
    Patch(Patch),
    /// An object that somebody adds; a pod of it is Ready and does nothing.
    Add(Addition),
    /// An object of the scenario's server that is removed, such as its Service or its pod.
    Remove(Removal),
    /// What a container of the scenario's server does instead of its work.
    Container(Does),
    /// What a server's folder is instead of one.
    Folder(Folder),
    /// What requests of some kind get instead of an answer.
    Api(Api),
    /// How far clocks are off.
    Clock(Clock),
    /// A container's log is rotated: it begins anew, and whoever follows it is at its end.
    Rotate(Rotation),
    /// Helm's word for the release's newest revision, which is one above the deployed one.
    Release(String),
}

/// A JSON patch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Patch {
    /// Of what kind of object.
    pub kind: Kind,
    /// Another server than the scenario's.
    pub server: Option<String>,
    /// The steps.
    pub steps: json_patch::Patch,
    /// How long after the first request.
    pub after: Option<Span>,
}

/// An object of somebody's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Addition {
    /// Its kind.
    pub kind: Kind,
    /// The object.
    pub object: Value,
}

/// An object that is removed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Removal {
    /// Its kind: a Pod's Deployment makes another.
    pub kind: Kind,
    /// How long after the first request.
    pub after: Option<Span>,
}

/// What a container does instead of its work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Does {
    /// Its name.
    pub name: String,
    /// Another server than the scenario's.
    pub server: Option<String>,
    /// What it does.
    pub does: Behaviour,
}

/// What a container may do instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Says nothing and does nothing.
    Hangs,
    /// Ends at once, again and again.
    Exits,
    /// The NFS server runs and does not listen.
    DoesNotListen,
    /// The init container says that it is done, and copied nothing.
    CopiesNothing,
    /// The sidecar copies to a folder of its own.
    CopiesElsewhere,
    /// The sidecar's rsync fails in every cycle, and the sidecar goes on.
    Fails,
    /// The sidecar copies without a pause.
    NeverRests,
    /// The sidecar cuts three bytes off what it copies.
    Truncates,
    /// The sidecar changes a byte of what it copies, but neither size nor time.
    Corrupts,
    /// The sidecar copies both ways and makes every file look new.
    CopiesBothWays,
    /// The sidecar copies everything in every cycle.
    CopiesAgain,
    /// The sidecar removes from the folder what is not in the export.
    Deletes,
}

/// What a server's folder is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Folder {
    /// What it is.
    pub is: Place,
    /// How long after the first request.
    pub after: Option<Span>,
}

/// What a tester's folder may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// It is gone for the tester; pods that run still have it.
    Missing,
    /// It was made anew for the tester; pods that run still have the old one.
    MadeAnew,
    /// A file is in its place; pods that run still have the folder.
    File,
    /// For all servers: the mount is dead, and pods see empty folders of the node's own.
    Unmounted,
    /// Pods cannot write to it.
    ReadOnly,
}

/// What requests of some kind get.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Api {
    /// The verbs as in RBAC: `get`, `list`, `watch`, `create`, `delete`; none: all.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// The resources as in RBAC, such as `pods` or `pods/exec`; none: all, and `/version` too.
    #[serde(default)]
    pub resources: Vec<String>,
    /// What they get.
    pub gets: Answer,
    /// How long after the first request this begins.
    pub after: Option<Span>,
    /// How long it lasts; for ever where not said.
    pub lasts: Option<Span>,
}

/// What a request may get instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing: the connection is closed.
    Closed,
    /// Nothing: the connection stays open.
    Silence,
    /// A Status with this code.
    Status(u16),
    /// The beginning of the answer; then the connection is closed.
    Half,
}

/// How far clocks are off.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clock {
    /// The cluster's before this machine's.
    #[serde(default)]
    pub cluster: SignedDuration,
    /// The node's before the API server's.
    #[serde(default)]
    pub node: SignedDuration,
}

/// The rotation of a log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rotation {
    /// The container.
    pub name: String,
    /// How long after the first request.
    pub after: Span,
}

/// A duration such as `2s`; never negative.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "SignedDuration")]
pub struct Span(pub Duration);

impl TryFrom<SignedDuration> for Span {
    type Error = jiff::Error;

    fn try_from(signed: SignedDuration) -> Result<Self, Self::Error> {
        Duration::try_from(signed).map(Self)
    }
}

/// All scenarios, by what they break.
const FILES: [&str; 5] = [
    include_str!("healthy.yaml"),
    include_str!("sidecar.yaml"),
    include_str!("storage.yaml"),
    include_str!("pods.yaml"),
    include_str!("motion.yaml"),
];

/// The scenario without a fault.
pub const HEALTHY: &str = "healthy";

/// All scenarios, in the order of their files.
///
/// # Errors
/// A defect of this program: a file cannot be read.
pub fn all() -> Result<Vec<Scenario>, Refusal> {
    let read = FILES.iter().map(|text| serde_saphyr::from_str::<Vec<Scenario>>(text));
    let read: Result<Vec<_>, _> = read.collect();
    let broken = |error| Refusal::start(format!("the built-in scenarios cannot be read: {error}"), "report this");
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
    /// The tests that must not pass, with `FAIL` or `ERROR`; `all` has the names of all tests.
    pub fn wrong(&self, all: &[String]) -> BTreeMap<String, &'static str> {
        let full = |name: &String| -> Vec<String> {
            if all.contains(name) {
                return vec![name.clone()];
            }
            if !self.server.is_empty() {
                return vec![format!("{name}::{}", self.server)];
            }
            let its = all.iter().filter(|whole| whole.strip_prefix(name).is_some_and(|rest| rest.starts_with("::")));
            its.cloned().collect()
        };
        let with =
            |names: &[String], outcome| names.iter().flat_map(full).map(|name| (name, outcome)).collect::<Vec<_>>();
        with(&self.fail, "FAIL").into_iter().chain(with(&self.error, "ERROR")).collect()
    }

    /// What a container of a server does instead of its work.
    pub fn behaviour(&self, server: &str, container: &str) -> Option<Behaviour> {
        self.faults.iter().find_map(|fault| match fault {
            Fault::Container(does) if does.name == container => {
                (does.server.as_deref().unwrap_or(&self.server) == server).then_some(does.does)
            }
            _ => None,
        })
    }

    /// How far clocks are off.
    pub fn clock(&self) -> Clock {
        let clocks =
            self.faults.iter().find_map(|fault| if let Fault::Clock(clock) = fault { Some(*clock) } else { None });
        clocks.unwrap_or_default()
    }

    /// What a request gets instead of an answer, so long after the first request.
    pub fn answer(&self, verb: &str, resource: &str, elapsed: Duration) -> Option<Answer> {
        let mut apis = self.apis(verb, resource);
        apis.find_map(|(begin, end, gets)| (begin <= elapsed && elapsed < end).then_some(gets))
    }

    /// What begins later and hits an answer that is still open then, and when after the start. A Status cannot.
    pub fn later(&self, verb: &str, resource: &str, elapsed: Duration) -> Option<(Duration, Answer)> {
        let hits = self.apis(verb, resource).filter(|(_, _, gets)| !matches!(gets, Answer::Status(_)));
        hits.map(|(begin, _, gets)| (begin, gets)).filter(|(begin, _)| *begin > elapsed).min_by_key(|(begin, _)| *begin)
    }

    /// What requests get, from when to when.
    fn apis<'a>(&'a self, verb: &'a str, resource: &'a str) -> impl Iterator<Item = (Duration, Duration, Answer)> + 'a {
        let matches = |words: &[String], word: &str| words.is_empty() || words.iter().any(|listed| listed == word);
        self.faults.iter().filter_map(move |fault| match fault {
            Fault::Api(api) if matches(&api.verbs, verb) && matches(&api.resources, resource) => {
                let begin = api.after.map_or(Duration::ZERO, |after| after.0);
                Some((begin, api.lasts.map_or(Duration::MAX, |lasts| begin + lasts.0), api.gets))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_read_and_a_mistyped_one_is_told() {
        assert!(named(HEALTHY).unwrap().faults.is_empty());
        let refusal = named("healhty").unwrap_err();
        assert!(refusal.hint.contains("`healthy`"), "{refusal}");
    }
}
