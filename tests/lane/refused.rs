//! Makes the API server deny a server's next pod, and undoes it.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::catalogue::Guard;
use crate::support::lab::{Lab, name};
use crate::support::speed;

const NAME: &str = "no-pod";
/// The namespace's label with the enforced `PodSecurity` level.
const LEVEL: &str = "pod-security.kubernetes.io/enforce";

impl Lab {
    /// Installs a guard, starts a rollout once it is effective, and waits until the new pod is denied.
    pub fn refuse(&self, server: &str, guard: Guard) {
        match guard {
            Guard::PodSecurity => {
                let label = format!("{LEVEL}=restricted");
                self.kubectl(&["label", "namespace", &self.target.namespace, &label]);
            }
            Guard::Policy => self.put(&policy(server)),
            Guard::Webhook => self.put(&webhook(server)),
            Guard::Quota => self.exhaust(),
        }
        let labels = format!("--labels=app.kubernetes.io/component={server}");
        let pod = ["run", NAME, "--image=alpine:latest", &labels, "--dry-run=server"];
        let limit = Duration::from_secs(30);
        speed::until("an effective guard", limit, || !self.command(&pod).output().unwrap().status.success());
        self.kubectl(&["rollout", "restart", "deployment", &name(server)]);
        // Before the next guard, which may deny the same pod: the condition keeps its first message.
        let condition = "jsonpath={.status.conditions[?(@.type=='ReplicaFailure')].message}";
        let failure = ["get", "deployment", &name(server), "-o", condition];
        speed::until("a denied pod", limit, || !self.kubectl(&failure).is_empty());
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

    /// Creates an exhausted quota; sets its status too, because the cluster has no quota controller.
    fn exhaust(&self) {
        self.put(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": NAME}, "spec": {"hard": {"pods": "9"}}}));
        let status = json!({"status": {"hard": {"pods": "9"}, "used": {"pods": "9"}}}).to_string();
        self.kubectl(&["patch", "resourcequota", NAME, "--subresource=status", "--type=merge", "-p", &status]);
    }

    fn put(&self, object: &Value) {
        let mut apply = self.command(&["apply", "-f", "-"]);
        let mut apply = apply.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        apply.stdin.take().unwrap().write_all(object.to_string().as_bytes()).unwrap();
        assert!(apply.wait().unwrap().success(), "{object}");
    }
}

fn rules() -> Value {
    json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}])
}

fn selector(server: &str) -> Value {
    json!({"matchLabels": {"app.kubernetes.io/component": server}})
}

fn policy(server: &str) -> Value {
    let spec = json!({"matchConstraints": {"objectSelector": selector(server), "resourceRules": rules()},
        "validations": [{"expression": "false", "message": "no pod of this server"}]});
    let of = |kind: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": NAME}, "spec": spec});
    let binding = json!({"policyName": NAME, "validationActions": ["Deny"]});
    let objects = [of("ValidatingAdmissionPolicy", spec), of("ValidatingAdmissionPolicyBinding", binding)];
    json!({"apiVersion": "v1", "kind": "List", "items": objects})
}

/// A webhook at a closed port.
fn webhook(server: &str) -> Value {
    let webhook = json!({"name": "pods.no-pod.example", "clientConfig": {"url": "https://127.0.0.1:1/"}, "rules": rules(),
        "objectSelector": selector(server), "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 5});
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME}, "webhooks": [webhook]})
}
