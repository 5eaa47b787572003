//! Reading objects, which are JSON here as in the API. Imports nothing of ours.

use jiff::Timestamp;
use serde_json::Value;

/// A string; empty of what is not one.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub fn name(object: &Value) -> &str {
    text(&object["metadata"]["name"])
}

pub fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

/// The server that a pod is of.
pub fn server(pod: &Value) -> &str {
    text(&pod["metadata"]["labels"]["app.kubernetes.io/component"])
}

pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    items(&pod["spec"]["initContainers"]).chain(items(&pod["spec"]["containers"]))
}

/// What the kubelet says of a container: `state` in its status.
pub fn state<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let status = &pod["status"];
    let mut all = items(&status["initContainerStatuses"]).chain(items(&status["containerStatuses"]));
    all.find(|status| status["name"] == container).map_or(&Value::Null, |status| &status["state"])
}

pub fn is_ready(pod: &Value) -> bool {
    items(&pod["status"]["conditions"]).any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub fn is_deleted(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

/// A time as Kubernetes has it: whole seconds.
pub fn stamp(time: Timestamp) -> String {
    format!("{time:.0}")
}
