//! The catalogue of faults (`catalogue.yaml`): how each is applied to a server, and which tests must not pass because of it.
//! `lane` applies them to the real cluster and records the runs; `recorded` judges the recordings. The simulated cluster's
//! scenarios (`src/sim/scenario`) have other faults, except a crashing sidecar.

use serde::Deserialize;
use serde_json::Value;

use super::expected::{Expected, expand};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    pub green: Vec<Round>,
    pub faulty: Vec<Round>,
    pub older: [Round; 2],
}

pub fn catalogue() -> Catalogue {
    let read: Value = serde_saphyr::from_str(include_str!("catalogue.yaml")).unwrap();
    serde_json::from_value(read).unwrap()
}

/// Independent faults on different servers, applied together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Round {
    /// The name of its recording.
    pub name: String,
    pub suites: Vec<String>,
    /// Parts of the names of tests that do not run.
    pub skip: Vec<String>,
    pub disrupts: bool,
    pub faults: Vec<Fault>,
}

impl Default for Round {
    fn default() -> Self {
        let suites = ["phase2", "phase3"].map(str::to_owned).to_vec();
        Self { name: String::new(), suites, skip: Vec::new(), disrupts: false, faults: Vec::new() }
    }
}

impl Round {
    pub fn healthy(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// `all`: the names of all tests.
    pub fn expected(&self, all: &[String]) -> Expected {
        self.faults.iter().flat_map(|fault| expand(fault.named(), &fault.server, all)).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// An optional number, and a description.
    pub id: String,
    /// Empty for all servers.
    #[serde(default)]
    pub server: String,
    pub change: Change,
    #[serde(default)]
    fail: Vec<Names>,
    #[serde(default)]
    error: Vec<Names>,
    #[serde(default)]
    skip: Vec<Names>,
}

impl Fault {
    /// The tests that must not pass, as named in the catalogue, and their outcomes.
    pub fn named(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let all = [(&self.fail, "FAIL"), (&self.error, "ERROR"), (&self.skip, "SKIP")];
        all.into_iter().flat_map(|(names, outcome)| names.iter().flat_map(Names::all).map(move |name| (name, outcome)))
    }
}

/// A test, or a list with an anchor.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    Test(String),
    Group(Vec<Names>),
}

impl Names {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::Test(name) => vec![name],
            Self::Group(names) => names.iter().flat_map(Self::all).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The steps of a JSON patch, with the extensions of `lane::patch`.
    Deployment(Vec<Value>),
    Service(Vec<Value>),
    Scale(u8),
    NoService,
    /// The host folder is moved away.
    NoFolder,
    /// A helm upgrade with these arguments fails.
    FailedUpgrade(Vec<String>),
    /// The NFS server's process gets this signal.
    Signal(String),
    /// The host folder is moved away and replaced with a new one.
    NewFolder,
    /// The export's size limit is lowered and exceeded, so that the kubelet evicts the pod.
    Evicted,
    OlderChart,
    /// A rollout starts, and the API server rejects the new pod.
    Refused(Guard),
}

/// Why the API server rejects a pod.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// The namespace enforces a `PodSecurity` level; affects all servers.
    PodSecurity,
    /// An admission policy rejects the server's pods.
    Policy,
    /// An admission webhook for the server's pods is unreachable.
    Webhook,
    /// The namespace's quota is exhausted; affects all servers.
    Quota,
}
