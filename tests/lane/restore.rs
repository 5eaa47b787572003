//! Restores the installed release and compares states of the cluster.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::test_cluster::{FILES_OF_RUNS, MOVED, TestCluster, output};

/// The namespace's objects and the host folders' files, as lines with their counts.
pub type State = BTreeMap<String, usize>;

pub fn selector(servers: &[&str]) -> String {
    format!("app.kubernetes.io/component in ({})", servers.join(","))
}

impl TestCluster {
    /// Deletes the selected servers and leftover files first: an upgrade alone would keep manual additions, and new pods would
    /// copy leftover files from the host folder.
    pub fn reinstall(&self, servers: &str) {
        self.kubectl(&["delete", "deployments,services", "-l", servers, "--cascade=foreground"]);
        output(Command::new("find").arg(&self.folder).args(FILES_OF_RUNS).args(["-exec", "rm", "-rf", "{}", "+"]));
        output(Command::new("rm").arg("-rf").arg(self.folder.join("shared-export")));
        self.put_folders_back();
        self.install();
    }

    fn put_folders_back(&self) {
        for entry in std::fs::read_dir(&self.folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let Some(server) = name.strip_prefix(MOVED) else { continue };
            let folder = self.folder.join(server);
            // Files in it may be a tester's.
            assert!(!folder.exists() || std::fs::remove_dir(&folder).is_ok(), "{} is not empty", folder.display());
            std::fs::rename(self.folder.join(&name), folder).unwrap();
        }
    }

    pub fn state(&self) -> State {
        let objects = self.kubectl(&["get", "deployments,services,configmaps,pods", "-o", "json"]);
        let objects: Value = serde_json::from_str(&objects).unwrap();
        let files = output(Command::new("find").arg(&self.folder).args(["-printf", "%y %P\n"]));
        let lines = objects["items"].as_array().unwrap().iter().map(line).chain(files.lines().map(str::to_owned));
        lines.fold(State::new(), |mut state, line| {
            *state.entry(line).or_default() += 1;
            state
        })
    }
}

/// An object without the fields that differ each time it is created.
fn line(object: &Value) -> String {
    let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
    if kind == "Pod" {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let is_ready = conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let is_terminating = !metadata["deletionTimestamp"].is_null();
        // `generateName` contains the hash of the pod template.
        return format!("Pod {}: Ready {is_ready}, terminating {is_terminating}", metadata["generateName"]);
    }
    let mut compared = [&metadata["labels"], &metadata["annotations"], &object["spec"]].map(Value::clone);
    for map in compared.iter_mut().filter_map(Value::as_object_mut) {
        map.retain(|key, _| !key.starts_with("deployment.kubernetes.io/") && !key.starts_with("clusterIP"));
    }
    format!("{kind} {}: {}", metadata["name"], Value::from(compared.to_vec()))
}

pub fn differences(installed: &State, now: &State) -> Vec<String> {
    let only = |these: &State, others: &State, when: &str| {
        let only = these.iter().filter(|(line, count)| others.get(*line) != Some(count));
        only.map(|(line, count)| format!("{when}: {count} x {line}")).collect::<Vec<_>>()
    };
    [only(installed, now, "installed"), only(now, installed, "restored")].concat()
}
