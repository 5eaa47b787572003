//! `security`: no container is privileged or can become so, and none has more capabilities than it needs.

use std::collections::BTreeSet;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Capabilities, Pod};
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Site};
use crate::cluster::ResourceExt;
use crate::cluster::container::{self, View};
use crate::event::{Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Security {
    /// The NFS server's container, which drops all capabilities.
    pub server: String,
    /// Those that it adds again, and no others; the other containers add none.
    pub add: Vec<String>,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
}

impl Kind for Security {
    type Observation = Observation;

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        Ok(Observation { pod: site.pod().await?.0 })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let pod = &seen.pod;
        let (mut reasons, mut notes) = (Vec::new(), Vec::new());
        let repair = "run helm upgrade: the live object was edited, or the chart has it otherwise";
        let (ended, views): (Vec<_>, Vec<_>) = container::all(pod).into_iter().partition(|view| {
            // It cannot be taken out of the pod, and never runs again.
            view.kind == container::Kind::Ephemeral && view.running_since().is_none()
        });
        for view in &views {
            let mut rights = Rights { object: container::place(pod, view.name), view: *view, reasons: Vec::new() };
            rights.judge(if view.name == self.server { Some(&self.add) } else { None });
            reasons.extend(rights.reasons.into_iter().map(|reason| reason.hint(repair)));
        }
        if !views.iter().any(|view| view.name == self.server) {
            let what = format!("no such container; the pod has {}", container::names(pod));
            reasons.push(Reason::new(container::place(pod, &self.server), "to be there", what).hint(repair));
        }
        let shared = pod.spec.iter().flat_map(|spec| {
            [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        });
        for (field, _) in shared.filter(|(_, value)| *value == Some(true)) {
            let object = format!("pod {}", pod.name_any());
            reasons.push(Reason::new(object, format!("{field} not true"), "true").hint(repair));
        }
        let open = |view: &&View<'_>| view.security.and_then(|rights| rights.allow_privilege_escalation).is_none();
        let open: Vec<_> = views.iter().filter(open).map(|view| view.name).collect();
        if !open.is_empty() {
            let containers = open.join(", ");
            notes.push(format!(
                "pod {} does not set allowPrivilegeEscalation for {containers}; Kubernetes allows it by default",
                pod.name_any()
            ));
        }
        for view in ended {
            notes.push(format!("{} was added for debugging and does not run", container::place(pod, view.name)));
        }
        let summary = format!(
            "none of {} containers is privileged or escalates; {} drops ALL and adds {}, the others add nothing",
            views.len(),
            self.server,
            shown(&self.add.iter().map(|name| plain(name)).collect())
        );
        Verdict::judged(summary, reasons).notes(notes)
    }
}

/// The rights of one container, under judgement.
struct Rights<'a> {
    object: String,
    view: View<'a>,
    reasons: Vec<Reason>,
}

impl Rights<'_> {
    /// `server`: what the NFS server adds; `None` for other containers.
    fn judge(&mut self, server: Option<&Vec<String>>) {
        let security = self.view.security;
        if security.and_then(|security| security.privileged) == Some(true) {
            self.fail("privileged not true".to_owned(), "true".to_owned());
        }
        match security.and_then(|security| security.allow_privilege_escalation) {
            Some(true) => self.fail("allowPrivilegeEscalation false".to_owned(), "true".to_owned()),
            None if server.is_some() => self.fail("allowPrivilegeEscalation false".to_owned(), "not set".to_owned()),
            _ => {}
        }
        let capabilities = security.and_then(|security| security.capabilities.as_ref());
        let listed = |list: fn(&Capabilities) -> Option<&Vec<String>>| -> BTreeSet<String> {
            capabilities.and_then(list).into_iter().flatten().map(|name| plain(name)).collect()
        };
        let (added, dropped) = (listed(|all| all.add.as_ref()), listed(|all| all.drop.as_ref()));
        let wanted: BTreeSet<_> = server.into_iter().flatten().map(|name| plain(name)).collect();
        if added != wanted {
            self.fail(format!("capabilities.add {}", shown(&wanted)), shown(&added));
        }
        if server.is_some() && !dropped.contains("ALL") {
            self.fail("capabilities.drop ALL".to_owned(), shown(&dropped));
        }
    }

    fn fail(&mut self, expected: String, seen: String) {
        self.reasons.push(Reason::new(&self.object, expected, seen));
    }
}

/// A capability's name as Kubernetes writes it; container runtimes take it in any case and with the kernel's prefix.
fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn shown(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.iter().cloned().collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    const SERVER: &str = "/spec/containers/0/securityContext";
    const SIDECAR: &str = "/spec/initContainers/1/securityContext";

    fn judged(changes: &[(&str, Value)]) -> Verdict {
        let healthy = json!({"allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
        let pod = with(with(output_pod(), &[(SERVER, healthy)]), changes);
        let check = Security { server: "nfs-server".into(), add: vec!["NET_BIND_SERVICE".into()] };
        check.judge(&serde_json::from_value(json!({ "pod": pod })).unwrap())
    }

    #[test]
    fn a_server_that_drops_all_passes_and_containers_that_say_nothing_are_a_note() {
        let verdict = judged(&[]);
        assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1));
        assert!(verdict.notes[0].contains("sync-windows-data, sync-to-windows"));
        let spelt = json!({"drop": ["all"], "add": ["cap_net_bind_service"]});
        assert_eq!(judged(&[(&format!("{SERVER}/capabilities"), spelt)]).reasons, Vec::new());
    }

    #[test]
    fn a_server_with_other_rights_fails() {
        for (field, value, count) in [
            ("/allowPrivilegeEscalation", Value::Null, 1),
            ("/allowPrivilegeEscalation", json!(true), 1),
            ("/privileged", json!(true), 1),
            ("/capabilities/add", Value::Null, 1),
            ("/capabilities/add", json!(["NET_BIND_SERVICE", "SYS_ADMIN"]), 1),
            ("/capabilities/drop", json!(["NET_RAW"]), 1),
            ("/capabilities", Value::Null, 2),
        ] {
            let verdict = judged(&[(&format!("{SERVER}{field}"), value)]);
            assert_eq!(verdict.reasons.len(), count, "{field} {verdict:?}");
        }
        let missing = judged(&[("/spec/containers/0/name", json!("other"))]);
        assert!(missing.reasons.iter().any(|reason| reason.seen.starts_with("no such container")), "{missing:?}");
    }

    #[test]
    fn any_other_container_with_rights_fails() {
        for rights in [
            json!({"privileged": true}),
            json!({"allowPrivilegeEscalation": true}),
            json!({"capabilities": {"add": ["NET_BIND_SERVICE"]}}),
        ] {
            assert_eq!(judged(&[(SIDECAR, rights.clone())]).reasons.len(), 1, "{rights}");
        }
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(judged(&[(&format!("/spec/{field}"), json!(true))]).outcome, Outcome::Fail, "{field}");
        }
    }

    #[test]
    fn a_debugging_container_counts_as_long_as_it_runs() {
        let container = json!([{"name": "debug", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}]);
        let debug = |state: Value| {
            let status = json!([{"name": "debug", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state}]);
            judged(&[("/spec/ephemeralContainers", container.clone()), ("/status/ephemeralContainerStatuses", status)])
        };
        assert_eq!(debug(json!({"running": {}})).outcome, Outcome::Fail);
        let ended = debug(json!({"terminated": {"exitCode": 0}}));
        assert_eq!((ended.outcome, ended.notes.len()), (Outcome::Pass, 2));
    }
}
