//! The faults as data: how each is applied to which server, and which tests it must make wrong. The lane on the real
//! cluster applies them and records what it saw; the replays judge the recordings. The scenarios of the simulated cluster
//! (`src/sim/scenario`) have other faults, but for a sidecar that crashes.

use serde_json::Value;

mod absent;
mod drift;
mod further;
mod patches;
mod rounds;

pub use rounds::rounds;

/// Independent faults on different servers, which go together.
pub struct Round {
    /// The name of its recording.
    pub name: &'static str,
    pub suites: &'static [&'static str],
    /// Parts of the names of tests that are not.
    pub skip: &'static [&'static str],
    /// Whether tests that disturb are run.
    pub disrupts: bool,
    pub faults: Vec<Fault>,
}

impl Round {
    /// A round of the suites that most rounds are of.
    pub fn usual(name: &'static str, faults: Vec<Fault>) -> Self {
        Self { name, suites: &["phase2", "phase3"], skip: &[], disrupts: false, faults }
    }
}

/// Rounds in which nothing is wrong.
pub fn green() -> [Round; 4] {
    let round = |name| Round::usual(name, Vec::new());
    [
        round("healthy"),
        Round { suites: &["nfs", "data-safety", "release", "smoke"], ..round("healthy-further") },
        Round { suites: &["restarts"], disrupts: true, ..round("healthy-restarts") },
        round("oddly-used"),
    ]
}

/// An older chart, whose exports take no clients on high ports: the suites that most rounds are of, and `nfs`, of whose
/// requests from low ports the first ends each server.
pub fn older() -> [Round; 2] {
    let refused = fault("takes no high ports", "", Change::OlderChart)
        .wrong("SKIP", &["phase2::nfs-mount", "phase2::subfolder-mount"]);
    let ends = fault("C19 ends at the first request", "", Change::OlderChart)
        .fail(&["nfs::node-port"])
        .wrong("SKIP", &["nfs::port-forward", "nfs::sync"]);
    [
        Round::usual("older-chart", vec![refused]),
        Round { suites: &["nfs"], ..Round::usual("older-chart with NFS", vec![ends]) },
    ]
}

/// A fault of one server.
pub struct Fault {
    /// Its number in the catalogue of faults, and what it is.
    pub id: &'static str,
    /// The server; empty for all.
    pub server: &'static str,
    pub change: Change,
    /// Every test that must not PASS, with its outcome; a name without a server is of this one.
    pub wrong: Vec<(&'static str, &'static [&'static str])>,
}

/// A fault that makes nothing wrong yet.
pub fn fault(id: &'static str, server: &'static str, change: Change) -> Fault {
    Fault { id, server, change, wrong: Vec::new() }
}

impl Fault {
    fn wrong(mut self, outcome: &'static str, tests: &'static [&'static str]) -> Self {
        self.wrong.push((outcome, tests));
        self
    }

    fn fail(self, tests: &'static [&'static str]) -> Self {
        self.wrong("FAIL", tests)
    }

    fn error(self, tests: &'static [&'static str]) -> Self {
        self.wrong("ERROR", tests)
    }
}

pub enum Change {
    /// A JSON patch.
    Deployment(Value),
    Service(Value),
    /// The number of replicas.
    Scale(u8),
    NoService,
    /// The tester's folder is moved away.
    NoFolder,
    /// A helm upgrade fails; what it is given.
    FailedUpgrade(&'static [&'static str]),
    /// The NFS server's process gets a signal.
    Signal(&'static str),
    /// The tester's folder is moved away, and another one made in its place.
    NewFolder,
    /// The export's limit is lowered and exceeded, until the pod is evicted.
    Evicted,
    OlderChart,
    /// The server is rolled out, and the API server does not take the new pod.
    Refused(Guard),
}

/// Why the API server does not take a pod.
#[derive(Clone, Copy)]
pub enum Guard {
    /// The namespace's level of `PodSecurity`; for all servers.
    PodSecurity,
    /// A policy denies the server's.
    Policy,
    /// A webhook that must be asked about the server's cannot be called.
    Webhook,
    /// The namespace's quota is used up; for all servers.
    Quota,
}

/// The tests that the fault makes wrong, by their full names; `all` has the names of all tests.
pub fn wrong<'a>(fault: &'a Fault, all: &'a [String]) -> impl Iterator<Item = (String, &'static str)> + 'a {
    let named = fault.wrong.iter().flat_map(|(outcome, names)| names.iter().map(move |name| (*outcome, *name)));
    named.flat_map(|(outcome, name)| full(name, fault.server, all).into_iter().map(move |name| (name, outcome)))
}

/// The tests that a name stands for: itself, or those of this server or of all.
pub fn full(name: &str, server: &str, all: &[String]) -> Vec<String> {
    match server {
        _ if all.iter().any(|listed| listed == name) => vec![name.to_owned()],
        "" => all.iter().filter(|listed| listed.starts_with(&format!("{name}::"))).cloned().collect(),
        server => vec![format!("{name}::{server}")],
    }
}
