//! What the API server sets where nobody does. Pure.

use serde_json::{Value, json};

/// Whether a field has the value that it gets by itself; `name` is the last name in its path. Source: "Defaults to" in the
/// API's reference of `Deployment`, `Service` and `Pod`.
pub fn is_default(path: &str, name: &str, live: &Value) -> bool {
    let is_empty = match live {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    let usual = match name {
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
        "type" if path.ends_with(".strategy.type") => json!("RollingUpdate"),
        "type" if path == ".spec.type" => json!("ClusterIP"),
        // That of a container makes a native sidecar of it.
        "restartPolicy" if path.ends_with(".template.spec.restartPolicy") => json!("Always"),
        "apiVersion" if path.ends_with(".fieldRef.apiVersion") => json!("v1"),
        // By the image's tag.
        "imagePullPolicy" | "clusterIP" | "clusterIPs" | "ipFamilies" | "nodePort" => return true,
        _ => return is_empty,
    };
    is_empty || *live == usual
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_has_to_say_is_a_default() {
        let port = ".spec.ports[?(@.port==2049)].protocol";
        assert!(is_default(port, "protocol", &json!("TCP")) && !is_default(port, "protocol", &json!("UDP")));
        let pod = ".spec.template.spec";
        assert!(is_default(&format!("{pod}.restartPolicy"), "restartPolicy", &json!("Always")));
        let init = format!(r#"{pod}.initContainers[?(@.name=="a")].restartPolicy"#);
        assert!(!is_default(&init, "restartPolicy", &json!("Always")));
        assert!(is_default(&format!("{pod}.securityContext"), "securityContext", &json!({})));
        assert!(!is_default(&format!("{pod}.hostNetwork"), "hostNetwork", &json!(true)));
    }
}
