//! Who set which fields of a live object: its `managedFields`, told in the places that a comparison has. Pure.

use serde_json::Value;

use super::default::is_default;
use super::path::{Path, is_within};
use crate::cluster::manifest::key;

/// A manager and the fields that it has set.
#[derive(Debug)]
pub struct Manager {
    /// Its name: the program's, such as `kubectl-edit`.
    pub name: String,
    /// When it last set one; may be empty.
    pub at: String,
    /// The fields.
    pub fields: Vec<Field>,
}

/// A field that a manager has set.
#[derive(Debug)]
pub struct Field {
    /// Where, as kubectl has it.
    pub text: String,
    /// Whether it is what the API server sets where nobody does: it notes that for whoever made what the field is in.
    pub is_default: bool,
}

/// Programs that work for Kubernetes itself; some distributions have all of it in one.
const SYSTEM: [&str; 8] =
    ["kubelet", "kube-scheduler", "kube-apiserver", "kubelite", "k3s", "rke2", "k0s", "vpa-recommender"];
/// How names of controllers end.
const CONTROLLER: [&str; 6] =
    ["-controller", "-controller-manager", "-operator", "-autoscaler", "-webhook", "-injector"];
/// What helm notes at each object of a release.
const RELEASE: &str = r".metadata.annotations.meta\.helm\.sh/release-name";

impl Manager {
    /// Whether it is helm, or a program that has helm in it: only that says whose the object is.
    pub fn is_helm(&self) -> bool {
        // Who makes an object anew with kubectl owns all of it.
        let notes = || !self.name.starts_with("kubectl") && self.fields.iter().any(|field| field.text == RELEASE);
        self.name.to_lowercase().contains("helm") || notes()
    }

    /// Whether it is a controller.
    pub fn is_controller(&self) -> bool {
        SYSTEM.contains(&self.name.as_str()) || CONTROLLER.iter().any(|end| self.name.ends_with(end))
    }

    /// Whether it set a place, or something in it, or what it is in.
    pub fn has(&self, at: &str) -> bool {
        self.fields.iter().any(|field| is_within(&field.text, at) || is_within(at, &field.text))
    }

    /// It, and when.
    pub fn describe(&self) -> String {
        // The subresource `scale` leaves no time.
        if self.at.is_empty() { self.name.clone() } else { format!("{} at {}", self.name, self.at) }
    }
}

/// The managers of an object, the latest first; without what they set of its status.
pub fn managers(live: &Value) -> Vec<Manager> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut managers: Vec<Manager> = entries
        .filter(|entry| entry["subresource"] != "status")
        .map(|entry| {
            let mut fields = Vec::new();
            collect(&Path::default(), &entry["fieldsV1"], live, &mut fields);
            // An entry without any.
            fields.retain(|field| !field.text.is_empty());
            Manager { name: text(&entry["manager"]), at: text(&entry["time"]), fields }
        })
        .collect();
    managers.sort_by(|one, other| other.at.cmp(&one.at));
    managers
}

/// Collects the fields of a `fieldsV1`. Source of its form: `FieldsV1` in the API's reference.
fn collect(path: &Path, set: &Value, live: &Value, fields: &mut Vec<Field>) {
    let members = set.as_object().into_iter().flatten().filter(|(name, _)| *name != ".");
    let mut is_leaf = true;
    for (name, below) in members {
        is_leaf = false;
        match name.split_once(':') {
            Some(("f", name)) => collect(&path.field(name), below, &live[name], fields),
            Some(("k", keys)) => {
                let keys: Value = serde_json::from_str(keys).unwrap_or_default();
                let items = live.as_array().into_iter().flatten().enumerate();
                let is_it = |item: &Value| {
                    keys.as_object().is_some_and(|keys| keys.iter().all(|(key, value)| item[key] == *value))
                };
                if let Some((index, item)) = items.into_iter().find(|(_, item)| is_it(item)) {
                    collect(&path.item(key(&path.name, item), index), below, item, fields);
                }
            }
            // An item of a list of plain values: the list says enough.
            _ => fields.push(Field { text: path.text.clone(), is_default: false }),
        }
    }
    if is_leaf {
        fields.push(Field { text: path.text.clone(), is_default: is_default(&path.text, &path.name, live) });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_managers_are_told_as_kubectl_has_them() {
        let live = json!({
            "metadata": {"managedFields": [
                {"manager": "helm", "operation": "Update", "time": "2026-11-21T03:00:00Z", "fieldsV1": {"f:spec": {"f:ports": {
                    ".": {}, "k:{\"port\":2049,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}, "f:nodePort": {}}}}}},
                {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-21T04:00:00Z",
                    "fieldsV1": {"f:spec": {"f:type": {}}}},
                {"manager": "kube-controller-manager", "subresource": "status", "fieldsV1": {"f:status": {"f:x": {}}}}
            ]},
            "spec": {"type": "NodePort", "ports": [{"name": "nfs", "port": 2049, "protocol": "TCP", "nodePort": 32150}]}
        });
        let managers = managers(&live);
        assert_eq!(managers.iter().map(|manager| manager.name.as_str()).collect::<Vec<_>>(), ["kubectl-edit", "helm"]);
        let fields = |index: usize| managers[index].fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>();
        assert_eq!(fields(0), [".spec.type"]);
        let place = r#".spec.ports[?(@.name=="nfs")]"#;
        assert_eq!(fields(1), [format!("{place}.nodePort"), format!("{place}.port")]);
        assert!(managers[1].has(place) && !managers[1].has(".spec.portsX") && managers[1].is_helm());
        assert!(super::managers(&json!({})).is_empty());
        let by = |manager: &str, field: &str| {
            let fields = json!({"f:metadata": {"f:annotations": {field: {}}}});
            super::managers(&json!({"metadata": {"managedFields": [{"manager": manager, "fieldsV1": fields}]}}))
        };
        assert!(by("werf", "f:meta.helm.sh/release-name")[0].is_helm() && !by("werf", "f:other")[0].is_helm());
        assert!(!by("kubectl-replace", "f:meta.helm.sh/release-name")[0].is_helm());
        assert!(by("terraform-provider-helm_v3.0.2", "f:other")[0].is_helm());
    }
}
