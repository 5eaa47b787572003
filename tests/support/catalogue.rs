//! The faults as data, in `catalogue.yaml`: how each is applied to which server, and which tests it must make wrong. The lane on
//! the real cluster applies them and records what it saw; the replays judge the recordings. The scenarios of the simulated
//! cluster (`src/sim/scenario`) have other faults, but for a sidecar that crashes.

use serde::Deserialize;
use serde_json::Value;

use super::wrong::{Wrong, wrong};

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

/// Independent faults on different servers, which go together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Round {
    /// The name of its recording.
    pub name: String,
    pub suites: Vec<String>,
    /// Parts of the names of tests that are not.
    pub skip: Vec<String>,
    /// Whether tests that disrupt are run.
    pub disrupts: bool,
    pub faults: Vec<Fault>,
}

impl Default for Round {
    /// Of the suites that most rounds are of, without a fault.
    fn default() -> Self {
        let suites = ["phase2", "phase3"].map(str::to_owned).to_vec();
        Self { name: String::new(), suites, skip: Vec::new(), disrupts: false, faults: Vec::new() }
    }
}

impl Round {
    pub fn healthy(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The tests that its faults make wrong; `all` has the names of all tests.
    pub fn wrong(&self, all: &[String]) -> Wrong {
        self.faults.iter().flat_map(|fault| wrong(fault.named(), &fault.server, all)).collect()
    }
}

/// A fault of one server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its number in the catalogue of faults, and what it is.
    pub id: String,
    /// The server; empty for all.
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
    /// Every test that must not PASS, as it is named, and how it ends.
    pub fn named(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let all = [(&self.fail, "FAIL"), (&self.error, "ERROR"), (&self.skip, "SKIP")];
        all.into_iter().flat_map(|(names, outcome)| names.iter().flat_map(Names::all).map(move |name| (name, outcome)))
    }
}

/// A test, or some that go wrong together.
#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Some(Vec<Names>),
}

impl Names {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(name) => vec![name],
            Self::Some(names) => names.iter().flat_map(Self::all).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The steps of a JSON patch, of which the lane knows some that JSON patches have not.
    Deployment(Vec<Value>),
    Service(Vec<Value>),
    /// The number of replicas.
    Scale(u8),
    NoService,
    /// The host folder is moved away.
    NoFolder,
    /// A helm upgrade fails; what it is given.
    FailedUpgrade(Vec<String>),
    /// The NFS server's process gets a signal.
    Signal(String),
    /// The host folder is moved away, and another one made in its place.
    NewFolder,
    /// The export's limit is lowered and exceeded, until the pod is evicted.
    Evicted,
    OlderChart,
    /// The server is rolled out, and the API server does not take the new pod.
    Refused(Guard),
}

/// Why the API server does not take a pod.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
