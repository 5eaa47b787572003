//! What Kubernetes makes of the fields of its objects: which it fills, keeps, adds to, or has no order for. Facts only.

use serde_json::{Value, json};

use super::path::Path;

/// Lists that the API server leaves as they are: what is in them and not in the manifest, somebody has added.
pub const WHOLE: [&str; 13] = [
    "containers",
    "initContainers",
    "volumes",
    "env",
    "envFrom",
    "ports",
    "volumeMounts",
    "volumeDevices",
    "hostAliases",
    "externalIPs",
    "loadBalancerSourceRanges",
    "add",
    "drop",
];
/// Fields that are false unless somebody says otherwise.
pub const FALSE: [&str; 8] = [
    "readOnly",
    "privileged",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "paused",
    "shareProcessNamespace",
    "publishNotReadyAddresses",
];
/// The versions of objects that have them.
pub const KNOWN: [&str; 3] = ["v1", "apps/v1", "batch/v1"];
/// Lists without an order.
pub const SETS: [&str; 6] = ["add", "drop", "accessModes", "externalIPs", "loadBalancerSourceRanges", "finalizers"];
/// Lists that controllers add to.
pub const SHARED: [&str; 3] = ["finalizers", "secrets", "imagePullSecrets"];
/// What is assigned where the manifest says nothing, or nothing in so many words.
pub const ASSIGNED: [&str; 5] = ["clusterIP", "nodePort", "healthCheckNodePort", "volumeName", "nodeName"];
/// Fields that are kept also where they are false, zero or empty. Source: those are pointers in the API's types; any
/// other field of that value is left out of what is stored.
pub const KEPT: [&str; 19] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "emptyDir",
    "enableServiceLinks",
    "fsGroup",
    "hostUsers",
    "immutable",
    "namespaceSelector",
    "optional",
    "podSelector",
    "privileged",
    "readOnlyRootFilesystem",
    "replicas",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "shareProcessNamespace",
    "suspend",
    "terminationGracePeriodSeconds",
];
/// What holds quantities, and what is one.
pub const QUANTITIES: [&str; 8] =
    ["limits", "requests", "capacity", "hard", "defaultRequest", "max", "min", "maxLimitRequestRatio"];
pub const QUANTITY: [&str; 2] = ["sizeLimit", "storage"];

/// Whether the API server stores nothing for such a value.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.iter().all(|(name, value)| is_nothing(value) && !KEPT.contains(&name.as_str())),
        Value::Bool(true) => false,
    }
}

/// Whether a field has the value that it gets by itself. Source: "Defaults to" in the API's reference of `Deployment`,
/// `Service` and `Pod`.
pub fn is_default(Path { text, name, .. }: &Path, live: &Value) -> bool {
    let usual = match name.as_str() {
        "protocol" => json!("TCP"),
        "terminationMessagePath" => json!("/dev/termination-log"),
        "terminationMessagePolicy" => json!("File"),
        "timeoutSeconds" | "successThreshold" => json!(1),
        "periodSeconds" | "revisionHistoryLimit" => json!(10),
        "failureThreshold" => json!(3),
        "scheme" => json!("HTTP"),
        "defaultMode" => json!(0o644),
        "maxSurge" | "maxUnavailable" => json!("25%"),
        "progressDeadlineSeconds" => json!(600),
        "terminationGracePeriodSeconds" => json!(30),
        "dnsPolicy" => json!("ClusterFirst"),
        "schedulerName" => json!("default-scheduler"),
        "externalTrafficPolicy" | "internalTrafficPolicy" => json!("Cluster"),
        "sessionAffinity" => json!("None"),
        "ipFamilyPolicy" => json!("SingleStack"),
        "allocateLoadBalancerNodePorts" => json!(true),
        "type" if text.ends_with(".strategy.type") => json!("RollingUpdate"),
        "type" if text == ".spec.type" => json!("ClusterIP"),
        // That of a container makes a native sidecar of it.
        "restartPolicy" if text.ends_with(".template.spec.restartPolicy") => json!("Always"),
        "apiVersion" if text.ends_with(".fieldRef.apiVersion") => json!("v1"),
        // By the image's tag.
        "imagePullPolicy" | "clusterIP" | "clusterIPs" | "ipFamilies" | "nodePort" => return true,
        _ => json!({}),
    };
    *live == usual || *live == json!({}) || *live == json!([])
}
