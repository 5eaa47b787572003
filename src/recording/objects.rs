//! Kubernetes objects in a recording: each is stored once, without possible secrets. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const REFERENCE: &str = "$object";

/// Fields of containers that are omitted. Tests that need an argument or a variable observe it separately.
const OF_CONTAINERS: [&str; 4] = ["env", "envFrom", "command", "args"];
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Other omitted fields, each with the key of its parent; `""` matches any parent. A termination message may be the end of a
/// log.
const SECRET: [(&str, &str); 6] = [
    ("", "managedFields"),
    ("", "httpHeaders"),
    ("exec", "command"),
    ("terminated", "message"),
    ("csi", "volumeAttributes"),
    ("flexVolume", "options"),
];

/// Annotations that are judged; others are omitted.
const ANNOTATIONS: [&str; 1] = ["deployment.kubernetes.io/revision"];

/// Objects by uid and version.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Objects(BTreeMap<String, Value>);

impl Objects {
    /// Replaces the objects in a value by references.
    pub fn pack(&mut self, value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|item| self.pack(item)),
            Value::Object(map) => {
                let metadata = map.get("metadata");
                let part = |name: &str| metadata.and_then(|metadata| metadata[name].as_str()).map(str::to_owned);
                if let (Some(uid), Some(version)) = (part("uid"), part("resourceVersion")) {
                    let key = format!("{uid}@{version}");
                    let mut object = std::mem::replace(value, json!({ REFERENCE: key }));
                    self.0.entry(key).or_insert_with(|| {
                        clean(&mut object, "");
                        object
                    });
                } else {
                    map.values_mut().for_each(|item| self.pack(item));
                }
            }
            _ => {}
        }
    }

    /// Replaces the references in a value by the objects.
    pub fn unpack(&self, value: &mut Value) -> Result<(), String> {
        match value {
            Value::Array(list) => list.iter_mut().try_for_each(|item| self.unpack(item)),
            Value::Object(map) => match map.get(REFERENCE).and_then(Value::as_str) {
                Some(key) => {
                    *value = self.0.get(key).cloned().ok_or_else(|| key.to_owned())?;
                    Ok(())
                }
                None => map.values_mut().try_for_each(|item| self.unpack(item)),
            },
            _ => Ok(()),
        }
    }
}

/// Removes possible secrets from the value of the key `parent`.
fn clean(value: &mut Value, parent: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| clean(item, parent)),
        Value::Object(map) => {
            map.retain(|key, _| {
                let is_secret = SECRET.iter().any(|(of, secret)| secret == key && (of.is_empty() || *of == parent));
                !(is_secret || CONTAINERS.contains(&parent) && OF_CONTAINERS.contains(&key.as_str()))
            });
            if parent == "annotations" {
                map.retain(|key, _| ANNOTATIONS.contains(&key.as_str()));
            }
            map.iter_mut().for_each(|(key, item)| clean(item, key));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_stored_once_and_without_secrets() {
        let pod = json!({
            "metadata": {"uid": "u", "resourceVersion": "7", "annotations": {"last-applied": "password"},
                "labels": {"env": "prod"}},
            "spec": {"containers": [{"name": "c", "env": [{"name": "PASSWORD", "value": "secret"}], "args": ["--secret"]}]}
        });
        let mut seen = json!({"pod": pod, "others": [pod], "text": "kept"});
        let mut objects = Objects::default();
        objects.pack(&mut seen);
        assert_eq!(seen, json!({"pod": {"$object": "u@7"}, "others": [{"$object": "u@7"}], "text": "kept"}));
        let text = serde_json::to_string(&objects).unwrap();
        assert!(!text.contains("secret") && !text.contains("password"), "{text}");
        objects.unpack(&mut seen).unwrap();
        assert_eq!(seen["others"][0]["spec"]["containers"], json!([{"name": "c"}]));
        assert_eq!(seen["pod"]["metadata"]["labels"]["env"], "prod", "a label is not a variable");
        assert!(Objects::default().unpack(&mut json!({"$object": "x"})).is_err());
    }
}
