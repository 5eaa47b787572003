//! A service account on the real cluster with exactly the permissions of docs/rbac.yaml, or all except one.

use std::time::Duration;

use file_simulator_e2e::cluster::{self, Permission, Target};
use serde_json::{Value, json};

use crate::support::speed::until;
use crate::support::test_cluster::TestCluster;
use crate::support::workspace::Workspace;

use super::{RBAC, all};

const NAME: &str = "file-simulator-e2e";

/// Deleted with its roles when dropped.
pub struct Account {
    cluster: TestCluster,
    minor: u32,
    /// docs/rbac.yaml with a unique name, because other tests may run on the cluster.
    rbac: String,
    target: Target,
    /// Contains the account's kubeconfig.
    folder: Workspace,
}

impl Account {
    pub fn new() -> Self {
        let (cluster, folder) = (TestCluster::find(), Workspace::new());
        let name = format!("{NAME}-{:08x}", rand::random::<u32>());
        let rbac = RBAC.replace(&format!("name: {NAME}"), &format!("name: {name}"));
        let version: Value = serde_json::from_str(&cluster.kubectl(&["version", "-o", "json"])).unwrap();
        let minor = version["serverVersion"]["minor"].as_str().unwrap().trim_end_matches('+').parse().unwrap();
        let target = Target { kubeconfig: Some(folder.path("kubeconfig")), ..cluster.target.clone() };
        let account = Self { cluster, minor, rbac, target, folder };
        account.kubectl_with("apply", &account.rbac);
        let token = account.cluster.kubectl(&["create", "token", &name]);
        let view = account.cluster.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
        let mut config: Value = serde_json::from_str(&view).unwrap();
        config["users"][0]["user"] = json!({"token": token.trim()});
        std::fs::write(account.folder.path("kubeconfig"), config.to_string()).unwrap();
        account
    }

    fn kubectl_with(&self, verb: &str, objects: &str) {
        let file = self.folder.path("objects");
        std::fs::write(&file, objects).unwrap();
        self.cluster.kubectl(&[verb, "-f", file.to_str().unwrap()]);
    }

    pub fn workspace(&self) -> Workspace {
        Workspace::at(&self.target, &self.cluster.folder)
    }

    /// Grants all permissions except one, and waits until the API server has applied the change.
    pub fn without(&self, permission: Permission) {
        for mut object in serde_saphyr::from_multiple::<Value>(&self.rbac).unwrap() {
            let is_cluster_wide = object["kind"] == "ClusterRole";
            if is_cluster_wide || object["kind"] == "Role" {
                let mut granted = all();
                granted.retain(|granted| *granted != permission && granted.is_cluster_wide() == is_cluster_wide);
                object["rules"] = granted.into_iter().map(rule).collect();
                self.kubectl_with("replace", &object.to_string());
            }
        }
        // Each change of a role takes effect with a delay.
        let missing: Vec<_> = Some(permission).filter(|missing| self.is_checked(*missing)).into_iter().collect();
        let all: Vec<_> = all().into_iter().collect();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let cluster = runtime.block_on(cluster::connect(self.target.clone())).unwrap();
        until("the role without one permission", Duration::from_secs(20), || {
            runtime.block_on(cluster.missing_permissions(&all)).unwrap() == missing
        });
    }

    pub fn is_checked(&self, permission: Permission) -> bool {
        permission.verb != "create" || self.minor >= 35
    }
}

fn rule(permission: Permission) -> Value {
    let [group, resource, subresource] = permission.parts();
    let resource = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
    json!({"apiGroups": [group], "resources": [resource], "verbs": [permission.verb]})
}

impl Drop for Account {
    fn drop(&mut self) {
        let file = self.folder.path("objects");
        let _ = std::fs::write(&file, &self.rbac);
        let _ = self.cluster.command(&["delete", "--wait=false", "-f"]).arg(file).status();
    }
}
