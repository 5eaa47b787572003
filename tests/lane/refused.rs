//! Makes the API server reject a server's next pod, and undoes it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::catalogue::Guard;
use crate::support::speed;
use crate::support::test_cluster::{TestCluster, name};

const NAME: &str = "no-pod";
const LEVEL: &str = "pod-security.kubernetes.io/enforce";

impl TestCluster {
    /// Installs a guard, starts a rollout once the guard is effective, and waits until the API server rejects the new pod.
    pub fn refuse(&self, server: &str, guard: Guard) {
        let label = format!("app.kubernetes.io/component={server}");
        let pods = json!({"matchLabels": {"app.kubernetes.io/component": server}});
        let rules =
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
        match guard {
            Guard::PodSecurity => {
                self.kubectl(&["label", "namespace", &self.target.namespace, &format!("{LEVEL}=restricted")]);
            }
            Guard::Policy => {
                let constraints = json!({"objectSelector": pods, "resourceRules": rules});
                let validation = json!({"expression": "false", "message": "no pod of this server"});
                let policy = json!({"matchConstraints": constraints, "validations": [validation]});
                self.apply_admission("ValidatingAdmissionPolicy", "spec", &policy);
                let binding = json!({"policyName": NAME, "validationActions": ["Deny"]});
                self.apply_admission("ValidatingAdmissionPolicyBinding", "spec", &binding);
            }
            Guard::Webhook => {
                // At a closed port.
                let webhook = json!([{"name": "pods.no-pod.example", "clientConfig": {"url": "https://127.0.0.1:1/"},
                    "rules": rules, "objectSelector": pods, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                    "timeoutSeconds": 5}]);
                self.apply_admission("ValidatingWebhookConfiguration", "webhooks", &webhook);
            }
            Guard::Quota => {
                self.kubectl(&["create", "quota", NAME, "--hard=pods=9"]);
                // The cluster has no quota controller to set the status.
                let status = json!({"status": {"hard": {"pods": "9"}, "used": {"pods": "9"}}}).to_string();
                self.kubectl(&["patch", "resourcequota", NAME, "--subresource=status", "--type=merge", "-p", &status]);
            }
        }
        let pod = ["run", NAME, "--image=alpine:latest", "--labels", &label, "--dry-run=server"];
        let limit = Duration::from_secs(30);
        speed::until("an effective guard", limit, || !self.command(&pod).output().unwrap().status.success());
        self.kubectl(&["rollout", "restart", "deployment", &name(server)]);
        // Before the next guard, which may reject the same pod: the condition keeps its first message.
        let condition = "jsonpath={.status.conditions[?(@.type=='ReplicaFailure')].message}";
        let failure = ["get", "deployment", &name(server), "-o", condition];
        speed::until("a rejected pod", limit, || !self.kubectl(&failure).is_empty());
    }

    pub fn allow(&self, guard: Guard) {
        let objects = match guard {
            Guard::PodSecurity => {
                self.kubectl(&["label", "namespace", &self.target.namespace, &format!("{LEVEL}-")]);
                return;
            }
            Guard::Policy => "validatingadmissionpolicies,validatingadmissionpolicybindings",
            Guard::Webhook => "validatingwebhookconfigurations",
            Guard::Quota => "resourcequotas",
        };
        self.kubectl(&["delete", objects, NAME]);
    }

    fn apply_admission(&self, kind: &str, field: &str, content: &Value) {
        let version = "admissionregistration.k8s.io/v1";
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": NAME}, field: content});
        let mut apply = self.command(&["apply", "-f", "-"]);
        let mut apply = apply.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        apply.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
        assert!(apply.wait().unwrap().success(), "{object}");
    }
}
