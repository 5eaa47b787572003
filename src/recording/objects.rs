//! Kubernetes objects in a recording: each stands in it once, without what may hold secrets. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const REFERENCE: &str = "$object";

/// What is left out of containers, wherever they stand. Tests that need a word of a command or of the environment observe
/// that word.
const OF_CONTAINERS: [&str; 4] = ["env", "envFrom", "command", "args"];
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// What else is left out, by the key of what it stands in; `""` stands for anything. A container's last words may be the
/// end of a log.
const SECRET: [(&str, &str); 6] = [
    ("", "managedFields"),
    ("", "httpHeaders"),
    ("exec", "command"),
    ("terminated", "message"),
    ("csi", "volumeAttributes"),
    ("flexVolume", "options"),
];

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
}

/// Leaves out what may be secret of what stands under a key.
fn clean(value: &mut Value, under: &str) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| clean(item, under)),
        Value::Object(map) => {
            map.retain(|key, _| {
                let is_secret =
                    SECRET.iter().any(|(place, secret)| secret == key && (place.is_empty() || *place == under));
                !(is_secret || CONTAINERS.contains(&under) && OF_CONTAINERS.contains(&key.as_str()))
            });
            if under == "annotations" {
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
    fn an_object_stands_once_and_without_secrets() {
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
        assert_eq!(seen["pod"]["metadata"]["labels"]["env"], "prod", "a label is none");
        assert!(Objects::default().unpack(&mut json!({"$object": "x"})).is_err());
    }
}
