//! `security`: no container is privileged or can become so, and none has more capabilities than it needs.

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
    /// The capabilities that the NFS server's container adds, which drops all, and no others; the other containers add none.
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
        // One for debugging that has ended cannot be taken out of the pod, and never runs again.
        views.retain(|view| view.kind != container::Kind::Ephemeral || view.running_since().is_some());
        for view in &views {
            for (expected, seen) in wrong(view, (view.name == server).then_some(&self.add)) {
                found.wrong(container::place(pod, view.name), expected, seen, EDITED);
            }
        }
        if !views.iter().any(|view| view.name == server) {
            found.wrong(container::place(pod, server), "to be there", container::missing(pod), EDITED);
        }
        let shared = pod.spec.iter().flat_map(|spec| {
            [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)]
        });
        for (field, _) in shared.filter(|(_, value)| *value == Some(true)) {
            found.wrong(format!("pod {}", pod.name_any()), format!("{field} not true"), "true", EDITED);
        }
        found.verdict(format!(
            "none of {} containers is privileged or escalates; {server} drops ALL and adds {}, the others add nothing",
            views.len(),
            shown(&self.add.iter().map(|name| plain(name)).collect())
        ))
    }
}

/// What of one container's rights was expected, and what it is instead; `server`: what the NFS server adds, `None` for other
/// containers.
fn wrong(view: &View<'_>, server: Option<&Vec<String>>) -> impl Iterator<Item = (String, String)> {
    let may_escalate = view.security.and_then(|security| security.allow_privilege_escalation);
    let capabilities = view.security.and_then(|security| security.capabilities.as_ref());
    let listed = |list: fn(&Capabilities) -> Option<&Vec<String>>| -> BTreeSet<String> {
        capabilities.and_then(list).into_iter().flatten().map(|name| plain(name)).collect()
    };
    let (added, dropped) = (listed(|all| all.add.as_ref()), listed(|all| all.drop.as_ref()));
    let wanted: BTreeSet<_> = server.into_iter().flatten().map(|name| plain(name)).collect();
    let is_privileged = view.security.and_then(|security| security.privileged) == Some(true);
    let escalates = match may_escalate {
        Some(true) => Some("true"),
        None if server.is_some() => Some("not set"),
        _ => None,
    };
    let keeps = server.is_some() && !dropped.contains("ALL");
    let wrong = [
        is_privileged.then(|| ("privileged not true".to_owned(), "true".to_owned())),
        escalates.map(|seen| ("allowPrivilegeEscalation false".to_owned(), seen.to_owned())),
        (added != wanted).then(|| (format!("capabilities.add {}", shown(&wanted)), shown(&added))),
        keeps.then(|| ("capabilities.drop ALL".to_owned(), shown(&dropped))),
    ];
    wrong.into_iter().flatten()
}

/// A capability's name as Kubernetes writes it; container runtimes take it in any case and with the kernel's prefix.
fn plain(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    name.strip_prefix("CAP_").unwrap_or(&name).to_owned()
}

fn shown(names: &BTreeSet<String>) -> String {
    if names.is_empty() { "nothing".to_owned() } else { listed(names) }
}
