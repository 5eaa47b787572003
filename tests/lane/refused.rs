//! What keeps the API server from taking a server's next pod, put in and taken away.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::catalogue::Guard;
use crate::support::lab::{Lab, name};
use crate::support::speed;

const NAME: &str = "no-pod";
/// The label by which the namespace asks for `PodSecurity`.
const LEVEL: &str = "pod-security.kubernetes.io/enforce";

impl Lab {
    /// Puts a guard in, and rolls the server out when it guards.
    pub fn refuse(&self, server: &str, guard: Guard) {
        match objects(server, guard) {
            Some(objects) => assert!(self.tell("apply", &objects)),
            None => self.label(&format!("{LEVEL}=restricted")),
        }
        if let Guard::Quota = guard {
            // It has no room; the fixture has no controller that would count.
            let status = json!({"status": {"hard": {"pods": "9"}, "used": {"pods": "9"}}}).to_string();
            self.kubectl(&["patch", "resourcequota", NAME, "--subresource=status", "--type=merge", "-p", &status]);
        }
        let labels = format!("--labels=app.kubernetes.io/component={server}");
        let pod = ["run", NAME, "--image=alpine:latest", &labels, "--dry-run=server"];
        let limit = Duration::from_secs(30);
        speed::until("a guard", limit, || !self.command(&pod).output().unwrap().status.success());
        self.kubectl(&["rollout", "restart", "deployment", &name(server)]);
        // The next guard may object to the same pod, and the first one's words stay.
        let condition = "jsonpath={.status.conditions[?(@.type=='ReplicaFailure')].message}";
        let ask = ["get", "deployment", &name(server), "-o", condition];
        speed::until("a pod that is refused", limit, || !self.kubectl(&ask).is_empty());
    }

    pub fn allow(&self, server: &str, guard: Guard) {
        match objects(server, guard) {
            Some(objects) => assert!(self.tell("delete", &objects)),
            None => self.label(&format!("{LEVEL}-")),
        }
    }

    fn label(&self, label: &str) {
        self.kubectl(&["label", "namespace", &self.target.namespace, label]);
    }
}

/// The objects that guard; none if it is a label that does.
fn objects(server: &str, guard: Guard) -> Option<Value> {
    let selector = json!({"matchLabels": {"app.kubernetes.io/component": server}});
    let rules = json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
    let of = |group: &str, kind: &str, key: &str, value: Value| json!({"apiVersion": group, "kind": kind, "metadata": {"name": NAME}, key: value});
    let admission = "admissionregistration.k8s.io/v1";
    let objects = match guard {
        Guard::PodSecurity => return None,
        Guard::Policy => {
            let spec = json!({"matchConstraints": {"objectSelector": selector, "resourceRules": rules},
                "validations": [{"expression": "false", "message": "no pod of this server"}]});
            let binding = json!({"policyName": NAME, "validationActions": ["Deny"]});
            vec![
                of(admission, "ValidatingAdmissionPolicy", "spec", spec),
                of(admission, "ValidatingAdmissionPolicyBinding", "spec", binding),
            ]
        }
        Guard::Webhook => {
            // Nobody listens there.
            let webhook = json!({"name": "pods.no-pod.example", "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": rules, "objectSelector": selector, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "timeoutSeconds": 5});
            vec![of(admission, "ValidatingWebhookConfiguration", "webhooks", json!([webhook]))]
        }
        Guard::Quota => vec![of("v1", "ResourceQuota", "spec", json!({"hard": {"pods": "9"}}))],
    };
    Some(json!({"apiVersion": "v1", "kind": "List", "items": objects}))
}
