//! Kubernetes objects in a recording: each stands in it once, without what may hold secrets. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The key that stands for an object.
const REFERENCE: &str = "$object";

/// What is left out of objects: nobody judges it, and it may hold secrets. Tests that need a word of a command or of the
/// environment observe that word.
const SECRET: [&str; 5] = ["env", "envFrom", "command", "args", "managedFields"];

/// Annotations that are judged; others are left out.
const ANNOTATIONS: [&str; 1] = ["deployment.kubernetes.io/revision"];

/// Objects by uid and version.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Objects(BTreeMap<String, Value>);

impl Objects {
    /// Takes the objects out of a value and leaves references.
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
                        clean(&mut object);
                        object
                    });
                } else {
                    map.values_mut().for_each(|item| self.pack(item));
                }
            }
            _ => {}
        }
    }

    /// Puts the objects back where their references stand.
    ///
    /// # Errors
    /// The key of an object that is not there.
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

    /// All objects.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0.values_mut()
    }
}

fn clean(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(clean),
        Value::Object(map) => {
            map.retain(|key, _| !SECRET.contains(&key.as_str()));
            if let Some(Value::Object(annotations)) = map.get_mut("annotations") {
                annotations.retain(|key, _| ANNOTATIONS.contains(&key.as_str()));
            }
            map.values_mut().for_each(clean);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_stands_once_and_without_secrets() {
        let pod = json!({
            "metadata": {"uid": "u", "resourceVersion": "7", "annotations": {"last-applied": "password"}},
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
        assert!(Objects::default().unpack(&mut json!({"$object": "x"})).is_err());
    }
}
