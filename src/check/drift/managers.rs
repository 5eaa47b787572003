//! Who set which fields of a live object, from its `managedFields`. Pure.

use serde_json::Value;

use super::fields::is_default;
use super::path::{Path, overlap};
use crate::cluster::manifest::key;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Helm, or a program that embeds it: its fields come from the manifest.
    Helm,
    /// A program of the cluster, such as an autoscaler.
    Controller,
    /// A user, with any other program.
    User,
}

#[derive(Debug)]
pub struct Manager {
    pub owner: Owner,
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub struct Field {
    /// Its path, in kubectl's `JSONPath` notation.
    pub text: String,
    /// Whether it has its default: the API server attributes defaults to the creator of the enclosing object or item.
    pub is_default: bool,
}

/// Programs of Kubernetes itself; some distributions combine them in one.
const SYSTEM: [&str; 8] =
    ["kubelet", "kube-scheduler", "kube-apiserver", "kubelite", "k3s", "rke2", "k0s", "vpa-recommender"];
const CONTROLLER_SUFFIXES: [&str; 6] =
    ["-controller", "-controller-manager", "-operator", "-autoscaler", "-webhook", "-injector"];
/// The annotation that Helm adds to each object of a release.
const RELEASE_NAME: &str = r".metadata.annotations.meta\.helm\.sh/release-name";

impl Owner {
    fn of(program: &str, fields: &[Field]) -> Self {
        // A user who recreates an object with kubectl owns all its fields, including Helm's annotation.
        let sets_release_name =
            || !program.starts_with("kubectl") && fields.iter().any(|field| field.text == RELEASE_NAME);
        if program.to_lowercase().contains("helm") || sets_release_name() {
            Self::Helm
        } else if SYSTEM.contains(&program) || CONTROLLER_SUFFIXES.iter().any(|end| program.ends_with(end)) {
            Self::Controller
        } else {
            Self::User
        }
    }
}

impl Manager {
    /// Whether it set the field, a field inside it, or a field around it.
    pub fn has(&self, at: &str) -> bool {
        self.fields.iter().any(|field| overlap(&field.text, at))
    }
}

/// The managers of an object, the latest first, without those of its status.
pub fn managers(live: &Value) -> Vec<Manager> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut entries: Vec<&Value> = entries.filter(|entry| entry["subresource"] != "status").collect();
    entries.sort_by(|one, other| other["time"].as_str().cmp(&one["time"].as_str()));
    let manager = |entry: &Value| {
        let mut fields = Vec::new();
        collect(&Path::default(), &entry["fieldsV1"], live, &mut fields);
        // From an entry without fields.
        fields.retain(|field| !field.text.is_empty());
        Manager { owner: Owner::of(entry["manager"].as_str().unwrap_or_default(), &fields), fields }
    };
    entries.into_iter().map(manager).collect()
}

/// Collects the fields of a `fieldsV1`. Source of its format: `FieldsV1` in the API reference.
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
            // An item of a list of plain values: the list's path suffices.
            _ => fields.push(Field { text: path.text.clone(), is_default: false }),
        }
    }
    if is_leaf {
        fields.push(Field { text: path.text.clone(), is_default: is_default(path, live) });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managers_and_their_fields_are_read_from_managed_fields() {
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
        assert_eq!(managers.iter().map(|manager| manager.owner).collect::<Vec<_>>(), [Owner::User, Owner::Helm]);
        let fields = |index: usize| managers[index].fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>();
        let port = r#".spec.ports[?(@.name=="nfs")]"#;
        assert_eq!((fields(0), fields(1).len()), (vec![".spec.type"], 2));
        assert!(managers[1].has(port) && !managers[1].has(".spec.portsX"), "{managers:?}");
        let owner = |program: &str, annotation: &str| {
            let text = format!(r".metadata.annotations.{annotation}");
            Owner::of(program, &[Field { text, is_default: false }])
        };
        assert_eq!(owner("werf", r"meta\.helm\.sh/release-name"), Owner::Helm);
        assert_eq!(owner("terraform-provider-helm_v3.0.2", "other"), Owner::Helm);
        assert_eq!(owner("kubectl-replace", r"meta\.helm\.sh/release-name"), Owner::User);
        assert_eq!([owner("werf", "other"), owner("vpa-injector", "other")], [Owner::User, Owner::Controller]);
    }
}
