//! A service account of the real cluster that has just docs/rbac.yaml, or all of it but one permission.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use file_simulator_e2e::cluster::{self, Permission, Target};
use serde_json::Value;
use tempfile::TempDir;

use super::{Place, RBAC, all};

const NAME: &str = "file-simulator-e2e";

/// The account; it is removed with what it may do when this is dropped.
pub struct Account {
    /// The minor version of its cluster.
    minor: u32,
    admin: String,
    bin: String,
    host_data: String,
    /// docs/rbac.yaml with names of its own, because others may test here at the same time.
    rbac: String,
    _own: TempDir,
    kubeconfig: String,
}

impl Account {
    /// Makes it.
    pub fn new() -> Self {
        // The scripts know their defaults best.
        let ask = r#". fixtures/cluster/cluster.env
            printf '%s\n' "${KUBECONFIG:-$CLUSTER_DIR/kubeconfig}" "$CLUSTER_CACHE/bin" "$HOST_DATA""#;
        let told = Command::new("bash").args(["-c", ask]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let [admin, bin, host_data] = told.lines().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        let own = tempfile::tempdir().unwrap();
        let kubeconfig = own.path().join("kubeconfig").to_str().unwrap().to_owned();
        let name = format!("{NAME}-{:08x}", rand::random::<u32>());
        let rbac = RBAC.replace(&format!("name: {NAME}"), &format!("name: {name}"));
        let mut account = Self { minor: 0, admin, bin, host_data, rbac, _own: own, kubeconfig };
        let version: Value = serde_json::from_str(&account.kubectl(&["version", "-o", "json"], "")).unwrap();
        account.minor = version["serverVersion"]["minor"].as_str().unwrap().trim_end_matches('+').parse().unwrap();
        account.kubectl(&["apply", "-f", "-"], &account.rbac.clone());
        let token = account.kubectl(&["create", "token", &name], "");
        let view = account.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"], "");
        let mut config: Value = serde_json::from_str(&view).unwrap();
        config["users"][0]["user"] = serde_json::json!({"token": token.trim()});
        std::fs::write(&account.kubeconfig, config.to_string()).unwrap();
        account
    }

    /// Where it runs the program.
    pub fn place(&self) -> Place<'_> {
        Place([&self.kubeconfig, "file-simulator", &self.host_data])
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
                self.kubectl(&["replace", "-f", "-"], &object.to_string());
            }
        }
        // An authorizer takes in each role when it comes to it.
        let wanted: Vec<_> = Some(permission).filter(|lacked| self.is_asked(*lacked)).into_iter().collect();
        let target = Target {
            kubeconfig: Some(self.kubeconfig.clone().into()),
            context: "file-simulator".to_owned(),
            namespace: "file-simulator".to_owned(),
            release: "file-sim".to_owned(),
        };
        let all: Vec<_> = all().into_iter().collect();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let cluster = cluster::connect(target).await.unwrap();
            let limit = Instant::now() + Duration::from_secs(20);
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

    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let (out, is_good) = self.run(arguments, input, &self.admin);
        assert!(is_good, "kubectl {arguments:?}");
        out
    }

    fn run(&self, arguments: &[&str], input: &str, kubeconfig: &str) -> (String, bool) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("kubectl");
        command.env("PATH", format!("{path}:{}", self.bin)).args(["--kubeconfig", kubeconfig]);
        command.args(["--context", "file-simulator", "--namespace", "file-simulator"]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        (String::from_utf8(ended.stdout).unwrap(), ended.status.success())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.run(&["delete", "--wait=false", "-f", "-"], &self.rbac, &self.admin);
    }
}
