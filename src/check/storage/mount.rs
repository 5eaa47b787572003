//! What a probe of the tester's folder saw, and whether it is the folder that the pod mounts. Pure.

use serde::{Deserialize, Serialize};

use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub(super) context: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// The folder of all servers on this machine, and the server's own.
    pub(super) root: String,
    pub(super) folder: String,
    pub(super) host_path: String,
    pub(super) path: String,
    pub(super) is_folder: bool,
    pub(super) to_pod: Option<Way>,
    pub(super) to_host: Option<Way>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The same content, after this many milliseconds.
    Same(u64),
    Other(String),
    /// No file could be written at this end, and why.
    Unwritable(String),
}

impl Mount {
    pub fn verdict(&self) -> Verdict {
        let object = format!("folder {}", self.folder);
        if !self.is_folder {
            let hint = self.hint();
            return Verdict::judged("", vec![Reason::new(object, "a folder", "no folder").hint(hint)]).at(Hop::Host);
        }
        let there = format!("pod {}, container {}, {}", self.pod, self.container, self.path);
        let (way, seen) = match (&self.to_pod, &self.to_host) {
            (Some(Way::Same(to_pod)), Some(Way::Same(to_host))) => {
                let summary = format!("{} is {there}: {to_pod} ms to the pod, {to_host} ms back", self.folder);
                return Verdict::judged(summary, Vec::new());
            }
            (Some(Way::Unwritable(why)), _) => return self.unwritable(&self.folder, why).at(Hop::Host),
            (_, Some(Way::Unwritable(why))) => return self.unwritable(&there, why).at(Hop::Mount),
            (Some(Way::Same(_)), Some(Way::Other(seen))) => ("in the pod", seen.clone()),
            (Some(Way::Other(seen)), _) => ("here", seen.clone()),
            (to_pod, to_host) => ("here or there", format!("not both ways were tried: {to_pod:?}, {to_host:?}")),
        };
        let expected = format!("to be the folder that {there} shows");
        let seen = format!("a file written {way} is not the same at the other end: {seen}");
        Verdict::judged("", vec![Reason::new(object, expected, seen).hint(self.hint())]).at(Hop::Mount)
    }

    /// Full, read-only, or somebody else's: no question of which folder it is.
    fn unwritable(&self, end: &str, why: &str) -> Verdict {
        let seen = format!("a file cannot be written in {end}: {why}");
        let reason = Reason::new(format!("folder {}", self.folder), "to take files here and in the pod", seen);
        let hint = "look whether its disk is full or read-only, at its permissions, and at who holds files in it";
        Verdict::judged("", vec![reason.hint(hint)])
    }

    fn hint(&self) -> String {
        let Self { context, namespace, pod, root, host_path, .. } = self;
        remount([context, namespace, pod], root, host_path)
    }
}

/// How a folder and a pod's hostPath become one folder again, in commands.
pub fn remount([context, namespace, pod]: [&str; 3], root: &str, host_path: &str) -> String {
    // A hostPath of one server is <where minikube mounts>/<server>; on the node, whatever this machine is.
    let mounted = host_path.rsplit_once('/').map_or(host_path, |(parent, _)| parent);
    format!(
        "on minikube, run in a window of its own: minikube -p {context} mount {root}:{mounted}\n\
         if the folder was deleted and made again, the pod still mounts the old one; restart it: \
         kubectl --context={context} -n {namespace} delete pod {pod}\n\
         if {root} is not the folder behind {mounted}, name the right one with --host-data"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    #[test]
    fn both_ways_must_be_the_same_and_a_folder_that_takes_no_files_is_not_taken_for_another() {
        let (same, other, full) =
            (json!({"Same": 80}), json!({"Other": "no such file"}), json!({"Unwritable": "full"}));
        let mount = r"minikube -p file-simulator mount C:\simulator-data:/mnt/simulator-data";
        for (to_pod, to_host, hop, hint) in [
            (&same, &other, Hop::Mount, mount),
            (&other, &Value::Null, Hop::Mount, mount),
            (&same, &Value::Null, Hop::Mount, mount),
            (&Value::Null, &Value::Null, Hop::Mount, mount),
            (&full, &Value::Null, Hop::Host, "full or read-only"),
            (&same, &full, Hop::Mount, "full or read-only"),
        ] {
            let seen: Mount = serde_json::from_value(json!({
                "context": "file-simulator", "namespace": "n", "pod": "p", "container": "c", "is_folder": true,
                "root": "C:\\simulator-data", "folder": "C:\\simulator-data\\nas-output-1",
                "host_path": "/mnt/simulator-data/nas-output-1", "path": "/windows-mount",
                "to_pod": to_pod, "to_host": to_host
            }))
            .unwrap();
            let verdict = seen.verdict();
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(hop)), "{to_pod} {to_host}");
            assert!(verdict.reasons[0].hint.contains(hint), "{verdict:?}");
        }
    }
}
