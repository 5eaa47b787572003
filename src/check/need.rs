//! What a run must have at hand for a kind of check, the permissions that this takes, and which of them the user lacks.
//! Imports `cluster`.

use std::fmt;

use super::Check;
use crate::cluster::{ApiError, Cluster, Permission};

/// What a run must have at hand, which not every check uses. What a check only falls back on is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Folder,
    Services,
    /// What the servers should be like: the Helm release's payload, if the user does not say it.
    Values,
    Release,
    Commands,
    Logs,
    /// Connections to ports of pods.
    PortForward,
    Nodes,
    Deletion,
}

impl Need {
    pub const ALL: [Self; 9] = [
        Self::Folder,
        Self::Services,
        Self::Values,
        Self::Release,
        Self::Commands,
        Self::Logs,
        Self::PortForward,
        Self::Nodes,
        Self::Deletion,
    ];

    pub fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Folder => &[],
            Self::Services => SERVICES,
            Self::Values | Self::Release => RELEASE,
            Self::Commands => COMMANDS,
            Self::Logs => LOGS,
            Self::PortForward => PORT_FORWARD,
            Self::Nodes => NODES,
            Self::Deletion => DELETION,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "the host folder",
            Self::Services => "Services",
            Self::Values => "values",
            Self::Release => "the Helm release",
            Self::Commands => "commands in containers",
            Self::Logs => "logs",
            Self::PortForward => "port-forwards",
            Self::Nodes => "nodes",
            Self::Deletion => "deleting pods",
        })
    }
}

/// What every test needs to have been permitted: it looks at pods and waits until they have settled.
pub const ALWAYS: &[Permission] = &[
    Permission::new("list", "pods"),
    Permission::new("watch", "pods"),
    Permission::new("list", "deployments.apps"),
    Permission::new("watch", "deployments.apps"),
    Permission::new("list", "replicasets.apps"),
    Permission::new("watch", "replicasets.apps"),
];
const SERVICES: &[Permission] = &[
    Permission::new("list", "services"),
    Permission::new("watch", "services"),
    Permission::new("list", "endpointslices.discovery.k8s.io"),
    Permission::new("watch", "endpointslices.discovery.k8s.io"),
];
const RELEASE: &[Permission] = &[Permission::new("list", "secrets"), Permission::new("get", "secrets")];
const COMMANDS: &[Permission] = &[Permission::new("get", "pods/exec"), Permission::new("create", "pods/exec")];
const LOGS: &[Permission] = &[Permission::new("get", "pods/log")];
const PORT_FORWARD: &[Permission] =
    &[Permission::new("get", "pods/portforward"), Permission::new("create", "pods/portforward")];
const NODES: &[Permission] = &[Permission::new("list", "nodes")];
const DELETION: &[Permission] = &[Permission::new("delete", "pods")];

/// What no test needs, and what is lost without it.
pub const OPTIONAL: &[(Permission, &str)] = &[
    (Permission::new("list", "secrets"), "nobody knows the release's revision"),
    (Permission::new("get", "namespaces"), "a missing namespace looks like an empty one"),
    (
        Permission::new("list", "events"),
        "what is told of a server that fails lacks the cluster's events, and a pod that has no node is waited for until --timeout",
    ),
    (Permission::new("list", "pods.metrics.k8s.io"), "what containers use is read in them, not from metrics-server"),
];

/// Which permissions the user lacks, of those that tests need or are better with.
#[derive(Debug, Clone, Default)]
pub struct Access {
    lacked: Vec<Permission>,
    /// Why that is not known; tests find out by themselves then.
    pub unknown: Option<ApiError>,
    /// Whether the user says what the servers should be like, so that nobody has to ask the release.
    has_values: bool,
}

impl Access {
    pub async fn ask(cluster: &Cluster, checks: &[&Check], has_values: bool) -> Self {
        let access = Self { has_values, ..Self::default() };
        match cluster.lacked(&access.wanted(checks)).await {
            Ok(lacked) => Self { lacked, ..access },
            Err(error) => Self { unknown: Some(error), ..access },
        }
    }

    /// What tests need, and what is looked at beside them.
    pub fn wanted(&self, checks: &[&Check]) -> Vec<Permission> {
        let others = OPTIONAL.iter().map(|(permission, _)| *permission);
        let needed = checks.iter().flat_map(|check| self.needed(check));
        let mut wanted: Vec<_> = needed.chain(ALWAYS.iter().copied()).chain(others).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// What a check needs beside what all need.
    fn needed(&self, check: &Check) -> impl Iterator<Item = Permission> {
        let needs =
            Need::ALL.into_iter().filter(|need| check.needs(*need) && !(self.has_values && *need == Need::Values));
        needs.flat_map(|need| need.permissions().iter().copied())
    }

    pub fn lacked_by_all(&self) -> Vec<Permission> {
        self.lacked.iter().copied().filter(|lacked| ALWAYS.contains(lacked)).collect()
    }

    pub fn lacked_by(&self, check: &Check) -> Option<Permission> {
        self.needed(check).find(|needed| self.lacked.contains(needed))
    }

    /// What is lacked that not every test needs; how many do, and what is lost without it if none does.
    pub fn lacked_by_some(&self, checks: &[&Check]) -> Vec<(Permission, usize, &'static str)> {
        let some = self.lacked.iter().filter(|lacked| !ALWAYS.contains(lacked));
        let lost = |lacked| OPTIONAL.iter().find(|(permission, _)| *permission == lacked).map_or("", |(_, lost)| *lost);
        let count = |lacked| checks.iter().filter(|check| self.needed(check).any(|needed| needed == lacked)).count();
        some.map(|lacked| (*lacked, count(*lacked), lost(*lacked))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_says_the_values_needs_no_secrets_for_them_and_for_the_release_all_the_same() {
        let check = |kind: &str| serde_json::from_value::<Check>(json!({kind: {}})).unwrap();
        let [pods, resources, release] = ["pods", "resources", "release"].map(check);
        let secrets = Permission::new("list", "secrets");
        for (has_values, count) in [(false, 2), (true, 1)] {
            let access = Access { lacked: vec![secrets], has_values, ..Access::default() };
            let lacked = [&pods, &resources, &release].map(|check| access.lacked_by(check).is_some());
            assert_eq!(lacked, [false, !has_values, true]);
            let [(lacked, tests, _)] = access.lacked_by_some(&[&pods, &resources, &release])[..] else { panic!() };
            assert_eq!((lacked, tests), (secrets, count));
        }
    }
}
