//! A service account of the real cluster that has just docs/rbac.yaml, or all of it but one permission.

use std::time::{Duration, Instant};

use file_simulator_e2e::cluster::{self, Permission, Target};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::lab::Lab;
use crate::support::place::Place;
use crate::support::speed::scaled;

use super::{RBAC, all};

const NAME: &str = "file-simulator-e2e";

/// The account; it is removed with what it may do when this is dropped.
pub struct Account {
    lab: Lab,
    /// The minor version of its cluster.
    minor: u32,
    /// docs/rbac.yaml with names of its own, because others may test here at the same time.
    rbac: String,
    /// The account's kubeconfig is in `own`.
    target: Target,
    own: TempDir,
}

impl Account {
    /// Makes it.
    pub fn new() -> Self {
        let (lab, own) = (Lab::find(), tempfile::tempdir().unwrap());
        let name = format!("{NAME}-{:08x}", rand::random::<u32>());
        let rbac = RBAC.replace(&format!("name: {NAME}"), &format!("name: {name}"));
        let version: Value = serde_json::from_str(&lab.kubectl(&["version", "-o", "json"])).unwrap();
        let minor = version["serverVersion"]["minor"].as_str().unwrap().trim_end_matches('+').parse().unwrap();
        let target = Target { kubeconfig: Some(own.path().join("kubeconfig")), ..lab.target.clone() };
        let account = Self { lab, minor, rbac, target, own };
        account.tell("apply", &account.rbac);
        let token = account.lab.kubectl(&["create", "token", &name]);
        let view = account.lab.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
        let mut config: Value = serde_json::from_str(&view).unwrap();
        config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
        std::fs::write(account.own.path().join("kubeconfig"), config.to_string()).unwrap();
        account
    }

    /// Has kubectl do something with these objects.
    fn tell(&self, verb: &str, objects: &str) {
        let file = self.own.path().join("objects");
        std::fs::write(&file, objects).unwrap();
        self.lab.kubectl(&[verb, "-f", file.to_str().unwrap()]);
    }

    /// Where it runs the program.
    pub fn place(&self) -> Place {
        Place::at(&self.target, &self.lab.folder)
    }

    /// Gives it all but this permission, and waits until the API server knows.
    pub fn without(&self, permission: Permission) {
        let [group, resource, subresource] = permission.parts();
        let name = [resource, subresource].join("/");
        let name = name.trim_end_matches('/');
        for mut object in serde_saphyr::from_multiple::<Value>(&self.rbac).unwrap() {
            let mut rules = Vec::new();
            // A rule for each resource.
            for rule in object["rules"].as_array().into_iter().flatten() {
                for its in rule["resources"].as_array().unwrap() {
                    let mut rule = rule.clone();
                    rule["resources"] = serde_json::json!([its]);
                    if *its == name && rule["apiGroups"][0] == group {
                        rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != permission.verb);
                    }
                    rules.push(rule);
                }
            }
            rules.retain(|rule| !rule["verbs"].as_array().unwrap().is_empty());
            if object["kind"] == "Role" || object["kind"] == "ClusterRole" {
                object["rules"] = rules.into();
                self.tell("replace", &object.to_string());
            }
        }
        // An authorizer takes in each role when it comes to it.
        let wanted: Vec<_> = Some(permission).filter(|lacked| self.is_asked(*lacked)).into_iter().collect();
        let all: Vec<_> = all().into_iter().collect();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let cluster = cluster::connect(self.target.clone()).await.unwrap();
            let limit = Instant::now() + scaled(Duration::from_secs(20));
            while cluster.lacked(&all).await.unwrap() != wanted {
                assert!(Instant::now() < limit, "{permission} is not the one that is lacked");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }

    /// Whether this version of Kubernetes asks for it.
    pub fn is_asked(&self, permission: Permission) -> bool {
        permission.verb != "create" || self.minor >= 35
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let file = self.own.path().join("objects");
        // Also after a test that failed.
        let _ = std::fs::write(&file, &self.rbac);
        let _ = self.lab.command(&["delete", "--wait=false", "-f"]).arg(file).status();
    }
}
