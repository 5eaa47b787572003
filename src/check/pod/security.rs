//! `security`: no container is privileged or allows privilege escalation, or has more capabilities than it needs.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Capabilities;
use serde::Deserialize;

use super::OnlyPod;
use crate::check::findings::{EDITED, Findings, listed};
use crate::check::{Kind, Site, System};
use crate::cluster::ResourceExt;
use crate::cluster::container::{self, View};
use crate::event::Verdict;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Security {
    /// Capabilities that the NFS server's container must add, and no others; it must drop `ALL`. Other containers must
    /// add none.
    pub add: Vec<String>,
}

impl Kind for Security {
    type Observation = OnlyPod;

    async fn observe(&self, site: &Site) -> Result<OnlyPod, Verdict> {
        OnlyPod::observe(site).await
    }

    fn judge(&self, system: &System, OnlyPod { pod }: &OnlyPod) -> Verdict {
        let server = &system.export.container;
        let mut found = Findings::default();
        let mut views = container::all(pod);
        // An ended debugging container cannot be removed from the pod and never runs again.
        views.retain(|view| view.kind != container::Kind::Ephemeral || view.running_since().is_some());
        for view in &views {
            for (expected, seen) in violations(view, (view.name == server).then_some(&self.add)) {
                found.add_finding(container::label(pod, view.name), expected, seen, EDITED);
            }
        }
        if !views.iter().any(|view| view.name == server) {
            found.add_finding(container::label(pod, server), "to exist", container::missing(pod), EDITED);
        }
        let shared = pod.spec.iter().flat_map(|spec| {
            [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        });
        for (field, _) in shared.filter(|(_, value)| *value == Some(true)) {
            found.add_finding(format!("pod {}", pod.name_any()), format!("{field} unset or false"), "true", EDITED);
        }
        found.verdict(format!(
            "none of {} containers is privileged or sets allowPrivilegeEscalation; {server} drops ALL and adds {}; the \
             others add nothing",
            views.len(),
            list_or_nothing(&self.add.iter().map(|name| normalized(name)).collect())
        ))
    }
}

/// The expected and actual values of a container's wrong settings. `server` has the capabilities that the NFS server
/// adds; it is `None` for other containers.
fn violations(view: &View<'_>, server: Option<&Vec<String>>) -> impl Iterator<Item = (String, String)> {
    let may_escalate = view.security.and_then(|security| security.allow_privilege_escalation);
    let capabilities = view.security.and_then(|security| security.capabilities.as_ref());
    let listed = |list: fn(&Capabilities) -> Option<&Vec<String>>| -> BTreeSet<String> {
        capabilities.and_then(list).into_iter().flatten().map(|name| normalized(name)).collect()
    };
    let (added, dropped) = (listed(|all| all.add.as_ref()), listed(|all| all.drop.as_ref()));
    let wanted: BTreeSet<_> = server.into_iter().flatten().map(|name| normalized(name)).collect();
    let is_privileged = view.security.and_then(|security| security.privileged) == Some(true);
    let escalates = match may_escalate {
        Some(true) => Some("true"),
        None if server.is_some() => Some("not set"),
        _ => None,
    };
    let keeps = server.is_some() && !dropped.contains("ALL");
    let violations = [
        is_privileged.then(|| ("privileged unset or false".to_owned(), "true".to_owned())),
        escalates.map(|seen| ("allowPrivilegeEscalation false".to_owned(), seen.to_owned())),
        (added != wanted).then(|| (format!("capabilities.add {}", list_or_nothing(&wanted)), list_or_nothing(&added))),
        keeps.then(|| ("capabilities.drop ALL".to_owned(), list_or_nothing(&dropped))),
    ];
    violations.into_iter().flatten()
}

/// A capability's name as Kubernetes writes it; container runtimes ignore case and accept the kernel's prefix.
fn normalized(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn list_or_nothing(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "nothing".to_owned() } else { listed(names) }
}
