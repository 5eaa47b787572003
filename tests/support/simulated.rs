//! A simulated cluster for one test.

use std::path::{Path, PathBuf};

use file_simulator_e2e::cluster::Target;
use file_simulator_e2e::sim::Simulation;
use file_simulator_e2e::sim::scenario::{self, Scenario};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::workspace::Workspace;

/// A scenario with these faults, written as in the scenarios' YAML.
pub fn faulty(faults: &[Value]) -> Scenario {
    serde_json::from_value(json!({"name": "faulty", "about": "set by a test", "faults": faults})).unwrap()
}

pub struct Simulated {
    simulation: Simulation,
    // Dropped after the simulation that runs on it.
    pub runtime: Runtime,
}

impl Simulated {
    pub fn new(scenario: Scenario) -> Self {
        let runtime = Runtime::new().unwrap();
        let simulation = runtime.block_on(Simulation::start(scenario)).unwrap();
        Self { simulation, runtime }
    }

    pub fn named(name: &str) -> Self {
        Self::new(scenario::named(name).unwrap())
    }

    pub fn with(faults: &[Value]) -> Self {
        Self::new(faulty(faults))
    }

    pub fn target(&self) -> Target {
        self.simulation.target()
    }

    pub fn data(&self) -> &Path {
        self.simulation.data()
    }

    pub fn workspace(&self) -> Workspace {
        Workspace::at(&self.target(), self.data())
    }

    pub fn leftovers(&self) -> Vec<String> {
        self.files("e2e-").iter().map(|path| path.display().to_string()).collect()
    }

    /// The paths of all files with this prefix, in the host folders and on the node.
    pub fn files(&self, prefix: &str) -> Vec<PathBuf> {
        let mut folders = vec![self.data().parent().unwrap().to_owned()];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    found.push(entry.path());
                } else if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found
    }
}
