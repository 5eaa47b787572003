//! How Kubernetes treats fields of its objects: which it defaults, keeps, adds to, or stores without an order. Facts
//! only.

use serde_json::{Value, json};

use super::path::Path;

/// Lists that the API server never adds to: an item that the manifest lacks was added by a user or a program.
pub const CLOSED_LISTS: [&str; 13] = [
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
pub const FALSE_BY_DEFAULT: [&str; 8] = [
    "readOnly",
    "privileged",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "paused",
    "shareProcessNamespace",
    "publishNotReadyAddresses",
];
/// API versions of objects with these lists and fields.
pub const KNOWN_VERSIONS: [&str; 3] = ["v1", "apps/v1", "batch/v1"];
pub const UNORDERED_LISTS: [&str; 6] =
    ["add", "drop", "accessModes", "externalIPs", "loadBalancerSourceRanges", "finalizers"];
/// Lists that controllers add to.
pub const CONTROLLER_LISTS: [&str; 3] = ["finalizers", "secrets", "imagePullSecrets"];
/// Fields that Kubernetes assigns if the manifest does not set them, or sets them to zero.
pub const ASSIGNED_FIELDS: [&str; 5] = ["clusterIP", "nodePort", "healthCheckNodePort", "volumeName", "nodeName"];
/// Fields that the API server stores even if they are false, zero or empty, because they are pointers in the API's
/// types. It omits other fields with such values.
pub const KEPT_IF_ZERO: [&str; 19] = [
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
/// Maps of quantities, and fields that are quantities.
pub const QUANTITY_MAPS: [&str; 8] =
    ["limits", "requests", "capacity", "hard", "defaultRequest", "max", "min", "maxLimitRequestRatio"];
pub const QUANTITY_FIELDS: [&str; 2] = ["sizeLimit", "storage"];

/// Whether a value is absent, false, zero or empty, so that the API server omits it.
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.iter().all(|(name, value)| is_zero(value) && !KEPT_IF_ZERO.contains(&name.as_str())),
        Value::Bool(true) => false,
    }
}

/// Whether a field has its default value. Source: "Defaults to" in the API reference of `Deployment`, `Service` and
/// `Pod`.
pub fn is_default(Path { text, name, .. }: &Path, live: &Value) -> bool {
    let default = match name.as_str() {
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
        // A container's restartPolicy has no default: it makes the container a native sidecar.
        "restartPolicy" if text.ends_with(".template.spec.restartPolicy") => json!("Always"),
        "apiVersion" if text.ends_with(".fieldRef.apiVersion") => json!("v1"),
        // These defaults depend on the image's tag or on the cluster.
        "imagePullPolicy" | "clusterIP" | "clusterIPs" | "ipFamilies" | "nodePort" => return true,
        _ => json!({}),
    };
    *live == default || *live == json!({}) || *live == json!([])
}
