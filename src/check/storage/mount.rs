//! What a probe of the tester's folder saw, and whether it is the folder that the pod mounts. Pure.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::event::{Hop, Reason, Verdict};

/// What was seen.
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
    /// Whether the server's folder exists here.
    pub(super) is_folder: bool,
    /// From here to the pod.
    pub(super) to_pod: Option<Way>,
    /// From the pod to here.
    pub(super) to_host: Option<Way>,
}

/// What came out at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The same content, after this many milliseconds.
    Same(u64),
    /// Something else.
    Other(String),
}

impl Mount {
    /// Whether the two are one folder.
    pub fn verdict(&self) -> Verdict {
        let object = format!("folder {}", self.folder);
        if !self.is_folder {
            let hint = self.hint();
            return Verdict::judged("", vec![Reason::new(object, "a folder", "no folder").hint(hint)]).at(Hop::Host);
        }
        let there = format!("pod {}, container {}, {}", self.pod, self.container, self.path);
        let mut reasons = Vec::new();
        let mut differs = |way: &str, seen: &str| {
            let expected = format!("to be the folder that {there} shows");
            reasons.push(
                Reason::new(
                    &object,
                    expected,
                    format!("a file written {way} is not the same at the other end: {seen}"),
                )
                .hint(self.hint()),
            );
        };
        match (&self.to_pod, &self.to_host) {
            (Some(Way::Same(to_pod)), Some(Way::Same(to_host))) => {
                let summary = format!("{} is {there}: {to_pod} ms to the pod, {to_host} ms back", self.folder);
                return Verdict::judged(summary, Vec::new());
            }
            (Some(Way::Same(_)), Some(Way::Other(seen))) => differs("in the pod", seen),
            (Some(Way::Other(seen)), _) => differs("here", seen),
            (to_pod, to_host) => {
                differs("here or there", &format!("not both ways were tried: {to_pod:?}, {to_host:?}"));
            }
        }
        Verdict::judged("", reasons).at(Hop::Mount)
    }

    fn hint(&self) -> String {
        hint([&self.context, &self.namespace, &self.pod], &self.root, &self.host_path)
    }
}

/// What to do where a pod's hostPath is not the folder in `root` that it should be.
pub fn hint([context, namespace, pod]: [&str; 3], root: &str, host_path: &str) -> String {
    // A hostPath of one server is <where minikube mounts>/<server>.
    let mounted = Path::new(host_path).parent().map_or(host_path, |parent| parent.to_str().unwrap_or_default());
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

    fn judged(is_folder: bool, to_pod: &Value, to_host: &Value) -> Verdict {
        let seen: Mount = serde_json::from_value(json!({
            "context": "file-simulator", "namespace": "n", "pod": "p", "container": "c", "is_folder": is_folder,
            "root": "C:\\simulator-data", "folder": "C:\\simulator-data\\nas-output-1",
            "host_path": "/mnt/simulator-data/nas-output-1", "path": "/windows-mount",
            "to_pod": to_pod, "to_host": to_host
        }))
        .unwrap();
        seen.verdict()
    }

    #[test]
    fn both_ways_must_be_the_same() {
        let (same, other) = (json!({"Same": 80}), json!({"Other": "no such file"}));
        assert_eq!(judged(true, &same, &same).outcome, Outcome::Pass);
        for (to_pod, to_host) in
            [(&same, &other), (&other, &Value::Null), (&same, &Value::Null), (&Value::Null, &Value::Null)]
        {
            let verdict = judged(true, to_pod, to_host);
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Mount)), "{to_pod} {to_host}");
            let hint = &verdict.reasons[0].hint;
            assert!(hint.contains(r"minikube -p file-simulator mount C:\simulator-data:/mnt/simulator-data"), "{hint}");
        }
        assert_eq!(judged(false, &Value::Null, &Value::Null).hop, Some(Hop::Host));
    }
}
