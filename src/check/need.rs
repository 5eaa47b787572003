//! What kinds of checks need, which permissions that takes, and which of them the user lacks.

use std::fmt;

use super::Check;
use crate::cluster::{ApiError, Cluster, Permission};

/// Something that some kinds of checks need. What a check uses only as a fallback does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Folder,
    Services,
    /// The values, which come from the Helm release unless the user passes `--values`.
    Values,
    Release,
    Commands,
    Logs,
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

/// Permissions that every test needs, to watch pods and wait for rollouts.
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

/// Permissions that no test requires, with the consequence of not having them.
pub const OPTIONAL: &[(Permission, &str)] = &[
    (Permission::new("list", "secrets"), "the release's revision is unknown"),
    (Permission::new("get", "namespaces"), "a missing namespace looks like an empty one"),
    (
        Permission::new("list", "events"),
        "diagnostics of failed servers lack events, and tests wait until --timeout for an unschedulable pod",
    ),
    (
        Permission::new("list", "pods.metrics.k8s.io"),
        "CPU and memory usage is read inside containers instead of from metrics-server",
    ),
];

/// Which of the required and optional permissions the user lacks.
#[derive(Debug, Clone, Default)]
pub struct Access {
    missing: Vec<Permission>,
    /// Why the permissions are unknown; tests then find out by trying.
    pub unknown: Option<ApiError>,
    /// Whether the user passed values, so that the release's are not needed.
    has_values: bool,
}

impl Access {
    pub async fn ask(cluster: &Cluster, checks: &[&Check], has_values: bool) -> Self {
        let access = Self { has_values, ..Self::default() };
        match cluster.missing_permissions(&access.wanted(checks)).await {
            Ok(missing) => Self { missing, ..access },
            Err(error) => Self { unknown: Some(error), ..access },
        }
    }

    pub fn wanted(&self, checks: &[&Check]) -> Vec<Permission> {
        let others = OPTIONAL.iter().map(|(permission, _)| *permission);
        let needed = checks.iter().flat_map(|check| self.needed(check));
        let mut wanted: Vec<_> = needed.chain(ALWAYS.iter().copied()).chain(others).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// The permissions that a check needs in addition to [`ALWAYS`].
    fn needed(&self, check: &Check) -> impl Iterator<Item = Permission> {
        let needs =
            Need::ALL.into_iter().filter(|need| check.needs(*need) && !(self.has_values && *need == Need::Values));
        needs.flat_map(|need| need.permissions().iter().copied())
    }

    /// The missing permissions that every test needs.
    pub fn missing_for_all(&self) -> Vec<Permission> {
        self.missing.iter().copied().filter(|missing| ALWAYS.contains(missing)).collect()
    }

    pub fn missing_for(&self, check: &Check) -> Option<Permission> {
        self.needed(check).find(|needed| self.missing.contains(needed))
    }

    /// The other missing permissions, each with the number of tests that need it, and the consequence if it is
    /// optional.
    pub fn missing_for_some(&self, checks: &[&Check]) -> Vec<(Permission, usize, &'static str)> {
        let count = |missing| checks.iter().filter(|check| self.needed(check).any(|needed| needed == missing)).count();
        let consequence = |missing| {
            let optional = OPTIONAL.iter().find(|(permission, _)| *permission == missing);
            optional.map_or("", |(_, consequence)| *consequence)
        };
        let some = self.missing.iter().filter(|missing| !ALWAYS.contains(missing));
        some.map(|missing| (*missing, count(*missing), consequence(*missing))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn given_values_replace_access_to_secrets_except_for_the_release_itself() {
        let check = |kind: &str| serde_json::from_value::<Check>(json!({kind: {}})).unwrap();
        let [pods, resources, release] = ["pods", "resources", "release"].map(check);
        let secrets = Permission::new("list", "secrets");
        for (has_values, count) in [(false, 2), (true, 1)] {
            let access = Access { missing: vec![secrets], has_values, ..Access::default() };
            let missing = [&pods, &resources, &release].map(|check| access.missing_for(check).is_some());
            assert_eq!(missing, [false, !has_values, true]);
            let [(missing, tests, _)] = access.missing_for_some(&[&pods, &resources, &release])[..] else { panic!() };
            assert_eq!((missing, tests), (secrets, count));
        }
    }
}
