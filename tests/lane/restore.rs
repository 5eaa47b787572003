//! Puts the release back as it was installed, and says what of it is otherwise.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::lab::{FILES_OF_RUNS, Lab, MOVED, output};

/// The objects of the release and the files of the host folder, each in a line, and how often there is one like it.
pub type State = BTreeMap<String, usize>;

pub fn of(servers: &[&str]) -> String {
    format!("app.kubernetes.io/component in ({})", servers.join(","))
}

impl Lab {
    /// Installs the selected servers over nothing: an upgrade alone would leave in place what was added by hand, and a new
    /// pod would copy what an earlier run left in the host folder.
    pub fn install_anew(&self, servers: &str) {
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
            // Only what is empty is not the tester's.
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

/// An object without what is another each time that it is made.
fn line(object: &Value) -> String {
    let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
    if kind == "Pod" {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let is_ready = conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        let stays = metadata["deletionTimestamp"].is_null();
        // Its ReplicaSet's name has a digest of the template.
        return format!("Pod {}: Ready {is_ready}, stays {stays}", metadata["generateName"]);
    }
    let mut said = [&metadata["labels"], &metadata["annotations"], &object["spec"]].map(Value::clone);
    for map in said.iter_mut().filter_map(Value::as_object_mut) {
        map.retain(|key, _| !key.starts_with("deployment.kubernetes.io/") && !key.starts_with("clusterIP"));
    }
    format!("{kind} {}: {}", metadata["name"], Value::from(said.to_vec()))
}

/// What is otherwise than it was installed, in a line each.
pub fn differences(installed: &State, now: &State) -> Vec<String> {
    let only = |these: &State, others: &State, word: &str| {
        let only = these.iter().filter(|(line, count)| others.get(*line) != Some(count));
        only.map(|(line, count)| format!("{word} {count} of {line}")).collect::<Vec<_>>()
    };
    [only(installed, now, "installed were"), only(now, installed, "put back were")].concat()
}
