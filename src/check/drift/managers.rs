//! Whose hand set which fields of a live object: its `managedFields`, told in the places that a comparison has. Pure.

use serde_json::Value;

use super::fields::is_default;
use super::path::{Path, overlap};
use crate::cluster::manifest::key;

/// Who set fields of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Helm, or a program that has helm in it: what it sets, the manifest says.
    Helm,
    /// A program that works for Kubernetes, such as an autoscaler.
    Controller,
    /// A person, with whichever program.
    Person,
}

/// The fields that one of them has set.
#[derive(Debug)]
pub struct Manager {
    pub who: Who,
    pub fields: Vec<Field>,
}

/// A field that somebody has set.
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

impl Who {
    fn of(program: &str, fields: &[Field]) -> Self {
        // Who makes an object anew with kubectl owns all of it, helm's note too.
        let notes = || !program.starts_with("kubectl") && fields.iter().any(|field| field.text == RELEASE);
        if program.to_lowercase().contains("helm") || notes() {
            Self::Helm
        } else if SYSTEM.contains(&program) || CONTROLLER.iter().any(|end| program.ends_with(end)) {
            Self::Controller
        } else {
            Self::Person
        }
    }
}

impl Manager {
    /// Whether it set a place, or something in it, or what it is in.
    pub fn has(&self, at: &str) -> bool {
        self.fields.iter().any(|field| overlap(&field.text, at))
    }
}

/// The managers of an object, the latest first; without what they set of its status.
pub fn managers(live: &Value) -> Vec<Manager> {
    let entries = live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
    let mut entries: Vec<&Value> = entries.filter(|entry| entry["subresource"] != "status").collect();
    entries.sort_by(|one, other| other["time"].as_str().cmp(&one["time"].as_str()));
    let manager = |entry: &Value| {
        let mut fields = Vec::new();
        collect(&Path::default(), &entry["fieldsV1"], live, &mut fields);
        // An entry without any.
        fields.retain(|field| !field.text.is_empty());
        Manager { who: Who::of(entry["manager"].as_str().unwrap_or_default(), &fields), fields }
    };
    entries.into_iter().map(manager).collect()
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
        fields.push(Field { text: path.text.clone(), is_default: is_default(path, live) });
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
        assert_eq!(managers.iter().map(|manager| manager.who).collect::<Vec<_>>(), [Who::Person, Who::Helm]);
        let fields = |index: usize| managers[index].fields.iter().map(|field| field.text.as_str()).collect::<Vec<_>>();
        let place = r#".spec.ports[?(@.name=="nfs")]"#;
        assert_eq!((fields(0), fields(1).len()), (vec![".spec.type"], 2));
        assert!(managers[1].has(place) && !managers[1].has(".spec.portsX"), "{managers:?}");
        let who = |program: &str, annotation: &str| {
            let text = format!(r".metadata.annotations.{annotation}");
            Who::of(program, &[Field { text, is_default: false }])
        };
        assert_eq!(who("werf", r"meta\.helm\.sh/release-name"), Who::Helm);
        assert_eq!(who("terraform-provider-helm_v3.0.2", "other"), Who::Helm);
        assert_eq!(who("kubectl-replace", r"meta\.helm\.sh/release-name"), Who::Person);
        assert_eq!([who("werf", "other"), who("vpa-injector", "other")], [Who::Person, Who::Controller]);
    }
}
