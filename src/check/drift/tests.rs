use serde_json::json;

use super::*;
use crate::check::system::tests::system;
use crate::cluster::example::with;
use crate::event::Outcome;

/// A Deployment as the chart renders it.
fn manifest() -> Value {
    let mounts = json!([{"name": "data", "mountPath": "/data"}, {"name": "host", "mountPath": "/host"}]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "file-sim-nas-1", "labels": {"app": "nas"}, "annotations": null, "creationTimestamp": null},
        "spec": {
            "replicas": 1, "minReadySeconds": 0,
            "template": {
                "metadata": {"labels": {"component": "nas-1"}},
                "spec": {
                    "hostNetwork": false, "nodeSelector": {},
                    "initContainers": [
                        {"name": "init", "env": [{"name": "EMPTY", "value": ""}]},
                        {"name": "sidecar", "restartPolicy": "Always", "volumeMounts": mounts,
                            "command": ["sh", "-c", "set -e\nwhile :; do\n  rsync\n  sleep \"$I\"\ndone\n"]}
                    ],
                    "containers": [{
                        "name": "server", "image": "alpine", "args": [], "tty": false,
                        "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
                        "ports": [{"name": "nfs", "containerPort": 2049}],
                        "securityContext": {"privileged": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
                        "resources": {"limits": {"memory": "1Gi", "cpu": 1}, "requests": null}
                    }],
                    "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "500Mi"}}, {"name": "tmp", "emptyDir": {}}]
                }
            }
        }
    })
}

/// The live object of that manifest, with the API server's additions and spelling.
fn live() -> Value {
    let mut live = manifest();
    json_patch::merge(
        &mut live,
        &json!({
            "metadata": {"uid": "u", "annotations": {"meta.helm.sh/release-name": "file-sim"}},
            "spec": {
                "minReadySeconds": null,
                "strategy": {"type": "RollingUpdate"},
                "template": {"spec": {"hostNetwork": null, "nodeSelector": null, "dnsPolicy": "ClusterFirst"}}
            },
            "status": {"replicas": 1}
        }),
    );
    let pod = live.pointer_mut("/spec/template/spec").unwrap();
    pod["initContainers"][0]["env"][0].as_object_mut().unwrap().remove("value");
    let server = &mut pod["containers"][0];
    json_patch::merge(server, &json!({"args": null, "tty": null, "terminationMessagePath": "/dev/termination-log"}));
    server["env"].as_array_mut().unwrap().remove(0);
    server["ports"][0]["protocol"] = json!("TCP");
    server["resources"] = json!({"limits": {"memory": "1024Mi", "cpu": "1"}});
    pod["volumes"][0]["emptyDir"]["sizeLimit"] = json!("524288000");
    live
}

fn seen(objects: Vec<Object>) -> Observation {
    Observation { release: "file-sim".into(), helm: "helm -n n".into(), server: None, revision: 3, objects }
}

fn judge(desired: &Value, live: Value) -> Verdict {
    let seen = seen(vec![Object::of(desired, Live::Object(live))]);
    // As if from a recording.
    let seen = serde_json::from_value(serde_json::to_value(seen).unwrap()).unwrap();
    Drift {}.judge(&system(), &seen)
}

/// What each reason expects and has seen in the changed live Deployment.
fn found(changes: &[(&str, Value)]) -> Vec<String> {
    let reasons = judge(&manifest(), with(live(), changes)).reasons;
    assert!(reasons.iter().all(|why| why.hint == ADDED || why.hint.contains("`helm -n n upgrade file-sim")));
    reasons.iter().map(|reason| format!("{} | {}", reason.expected, reason.seen)).collect()
}

const POD: &str = "/spec/template/spec";

#[test]
fn additions_and_spelling_of_the_api_server_are_no_drift() {
    let verdict = judge(&manifest(), live());
    assert!(verdict.outcome == Outcome::Pass && verdict.notes.is_empty(), "{verdict:#?}");
    let start = "Deployment file-sim-nas-1 matches the manifest of revision 3 of file-sim: ";
    assert!(verdict.summary.starts_with(start), "{verdict:?}");
}

#[test]
fn assigned_addresses_and_ports_of_a_service_are_no_drift_and_changed_ones_are() {
    let ports = json!([{"port": 2049, "targetPort": 2049, "nodePort": 0}, {"port": 53, "protocol": "UDP", "targetPort": "dns"}]);
    let desired = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"clusterIP": "", "externalIPs": [], "selector": {"a": "b"}, "ports": ports}});
    let mut live = desired.clone();
    live["spec"]["clusterIP"] = json!("10.96.0.1");
    live["spec"]["clusterIPs"] = json!(["10.96.0.1"]);
    live["spec"]["ports"][0]["nodePort"] = json!(32150);
    live["spec"]["ports"][0]["targetPort"] = json!("2049");
    live["spec"].as_object_mut().unwrap().remove("externalIPs");
    assert_eq!(judge(&desired, live.clone()).outcome, Outcome::Pass);
    for (pointer, value) in [
        ("/spec/ports/0/port", json!(2050)),
        ("/spec/ports/1/protocol", json!("TCP")),
        ("/spec/ports/-", json!({"port": 1})),
        ("/spec/selector/x", json!("y")),
        ("/spec/externalIPs", json!(["192.0.2.1"])),
    ] {
        assert_eq!(judge(&desired, with(live.clone(), &[(pointer, value)])).outcome, Outcome::Fail, "{pointer}");
    }
}

#[test]
fn a_different_value_is_drift_and_named_in_kubectls_notation() {
    let init = r#".spec.template.spec.initContainers[?(@.name=="sidecar")]"#;
    let container = r#".spec.template.spec.containers[?(@.name=="server")]"#;
    let source = "as in the manifest of revision 3";
    let script = json!("set -e\nwhile :; do\n  rsync\n  sleep 5\ndone\n");
    assert_eq!(
        found(&[
            (&format!("{POD}/initContainers/1/command/2"), script),
            (&format!("{POD}/initContainers/1/volumeMounts/0/mountPath"), json!("/other")),
            (&format!("{POD}/containers/0/resources/limits/memory"), json!("1G")),
            (&format!("{POD}/containers/0/securityContext/privileged"), Value::Null),
        ]),
        [
            format!("{container}.resources.limits.memory to be `1Gi`, {source} | `1G`"),
            format!("{container}.securityContext.privileged to be `false`, {source} | missing"),
            format!("{init}.command[2] to be `line 4: sleep \"$I\"`, {source} | `line 4: sleep 5`"),
            format!(
                r#"{init}.volumeMounts[?(@.mountPath=="/data")] to be `{{"mountPath":"/data","name":"data"}}`, {source} | missing"#
            ),
            format!(
                r#"no {init}.volumeMounts[?(@.mountPath=="/other")]: not in the manifest of revision 3 | added to the live object"#
            ),
        ]
    );
}

#[test]
fn additions_are_drift() {
    for (pointer, value) in [
        ("initContainers/-", json!({"name": "second"})),
        ("containers/-", json!({"name": "second"})),
        ("volumes/-", json!({"name": "second", "emptyDir": {}})),
        ("containers/0/env/-", json!({"name": "B", "value": "1"})),
        ("initContainers/1/env", json!([{"name": "B"}])),
        ("containers/0/ports/-", json!({"containerPort": 1})),
        ("containers/0/volumeMounts", json!([{"name": "data", "mountPath": "/"}])),
        ("containers/0/envFrom", json!([{"configMapRef": {"name": "x"}}])),
        ("containers/0/securityContext/capabilities/add/-", json!("SYS_ADMIN")),
        ("nodeSelector", json!({"disk": "ssd"})),
        ("initContainers/1/volumeMounts/1/readOnly", json!(true)),
    ] {
        let verdict = judge(&manifest(), with(live(), &[(&format!("{POD}/{pointer}"), value)]));
        assert!(
            verdict.reasons.len() == 1 && verdict.reasons[0].seen == "added to the live object",
            "{pointer}: {verdict:?}"
        );
    }
    // The manifest may lack the whole list.
    let live = with(live(), &[(&format!("{POD}/initContainers/-"), json!({"name": "second"}))]);
    let mut desired = manifest();
    desired["spec"]["template"]["spec"].as_object_mut().unwrap().remove("initContainers");
    assert_eq!(judge(&desired, live).reasons.len(), 3);
}

#[test]
fn only_the_order_of_init_containers_counts() {
    let mut live = live();
    live.pointer_mut(&format!("{POD}/volumes")).unwrap().as_array_mut().unwrap().reverse();
    assert_eq!(judge(&manifest(), live.clone()).outcome, Outcome::Pass);
    live.pointer_mut(&format!("{POD}/initContainers")).unwrap().as_array_mut().unwrap().reverse();
    let verdict = judge(&manifest(), live);
    let [reason] = verdict.reasons.as_slice() else { panic!("{verdict:?}") };
    assert_eq!(reason.seen, r#"`["sidecar","init"]`"#);
}

/// Judges the changed live Deployment, with these fields set by a manager.
fn managed(by: &str, fields: &Value, changes: &[(&str, Value)]) -> Verdict {
    let managed = json!([{"manager": by, "operation": "Update", "fieldsV1": fields}]);
    let changes = [changes, &[("/metadata/managedFields", managed)]].concat();
    judge(&manifest(), with(live(), &changes))
}

#[test]
fn changes_by_users_are_drift_and_those_by_kubernetes_are_not() {
    let replicas = json!({"f:spec": {"f:replicas": {}, "f:paused": {}}});
    let changed = [("/spec/replicas", json!(3))];
    let edited = managed("kubectl-edit", &replicas, &changed);
    let expected = edited.reasons.iter().map(|reason| reason.expected.as_str()).collect::<Vec<_>>();
    let paused = "no .spec.paused: not in the manifest of revision 3";
    assert_eq!(expected, [".spec.replicas to be `1`, as in the manifest of revision 3", paused]);
    let scaled = managed("kube-controller-manager", &replicas, &changed);
    assert!(scaled.outcome == Outcome::Pass && scaled.notes.len() == 1, "an autoscaler: {scaled:?}");
    let same = managed("kubectl-edit", &json!({"f:spec": {"f:replicas": {}}}), &[]);
    assert_eq!((same.outcome, same.notes.len()), (Outcome::Pass, 0), "the same value");
    let restart = json!({"f:kubectl.kubernetes.io/restartedAt": {}});
    let restart = json!({"f:spec": {"f:template": {"f:metadata": {"f:annotations": restart}}}});
    assert_eq!(managed("kubectl-rollout", &restart, &[]).outcome, Outcome::Pass, "a manual restart");
    let zero = json!({"f:spec": {"f:minReadySeconds": {}}});
    let judged = |manager: &str| managed(manager, &zero, &[("/spec/minReadySeconds", json!(1))]).outcome;
    assert_eq!(
        [judged("helm"), judged("kubectl-edit")],
        [Outcome::Pass, Outcome::Fail],
        "Helm's zero may be replaced by a default"
    );
    let gone = [("/spec/replicas", Value::Null)];
    assert_eq!(managed("kube-controller-manager", &replicas, &gone).outcome, Outcome::Fail);
}

#[test]
fn a_field_that_a_user_set_inside_a_list_item_is_drift() {
    let in_list = |list: &str, key: &str, below: &Value| {
        let list = json!({(format!("f:{list}")): {(format!("k:{key}")): below}});
        managed("kubectl-edit", &json!({"f:spec": {"f:template": {"f:spec": list}}}), &[])
    };
    for (list, key, below) in [
        ("containers", r#"{"name":"server"}"#, json!({"f:lifecycle": {"f:preStop": {}}})),
        ("containers", r#"{"name":"server"}"#, json!({"f:securityContext": {"f:runAsUser": {}}})),
        ("initContainers", r#"{"name":"init"}"#, json!({"f:restartPolicy": {}})),
        (
            "initContainers",
            r#"{"name":"sidecar"}"#,
            json!({"f:volumeMounts": {r#"k:{"mountPath":"/data"}"#: {"f:subPath": {}}}}),
        ),
        ("volumes", r#"{"name":"tmp"}"#, json!({"f:emptyDir": {"f:medium": {}}})),
    ] {
        let verdict = in_list(list, key, &below);
        assert_eq!((verdict.outcome, verdict.reasons.len()), (Outcome::Fail, 1), "{list} {below}: {verdict:?}");
    }
    // Fields of the manifest and defaults are no drift, whoever sent them last.
    let usual = json!({"f:image": {}, "f:name": {}, "f:terminationMessagePath": {}, "f:ports": {
        r#"k:{"containerPort":2049,"protocol":"TCP"}"#: {".": {}, "f:containerPort": {}, "f:name": {}, "f:protocol": {}}}});
    assert_eq!(in_list("containers", r#"{"name":"server"}"#, &usual).outcome, Outcome::Pass);
    let finalizer = json!({"f:metadata": {"f:finalizers": {}}});
    let kept = managed("kubectl-edit", &finalizer, &[("/metadata/finalizers", json!(["x"]))]);
    assert_eq!(kept.outcome, Outcome::Fail, "it blocks the deletion of the object");
}

#[test]
fn a_field_without_a_manager_was_added_by_a_webhook_and_is_no_drift() {
    let added = [(&*format!("{POD}/containers/0/env/-"), json!({"name": "PROXY", "value": "x"}))];
    let webhook = managed("helm", &json!({"f:spec": {"f:replicas": {}}}), &added);
    assert!(webhook.outcome == Outcome::Pass && webhook.notes.len() == 1, "{webhook:?}");
    assert_eq!(judge(&manifest(), with(live(), &added)).outcome, Outcome::Fail, "no managers are recorded at all");
    let variable = json!({r#"k:{"name":"PROXY"}"#: {".": {}, "f:name": {}, "f:value": {}}});
    let fields = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {r#"k:{"name":"server"}"#: {"f:env": variable}}}}}});
    assert_eq!(managed("helm", &fields, &added).outcome, Outcome::Fail, "a failed upgrade left it");
}

#[test]
fn secrets_are_compared_but_not_shown() {
    let secret = |fields: Value| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
        json_patch::merge(&mut secret, &fields);
        secret
    };
    let desired = secret(json!({"stringData": {"a": "hunter2"}, "data": {"b": "eA=="}}));
    let stored = secret(json!({"type": "Opaque", "data": {"a": "aHVudGVyMg==", "b": "eA=="}}));
    assert_eq!(judge(&desired, stored.clone()).outcome, Outcome::Pass);
    let other = judge(&desired, with(stored, &[("/data/a", json!("b3RoZXI="))]));
    let text = format!("{other:?}");
    assert!(
        other.outcome == Outcome::Fail && !text.contains("hunter2") && !text.contains("aHVu") && !text.contains("b3Ro")
    );
}

#[test]
fn missing_objects_fail_and_unreadable_ones_are_reported() {
    let object = |state: State| Object { kind: "Service".into(), name: "s".into(), state };
    let there = || State::There { fields: 1, differences: Vec::new(), set: Vec::new() };
    let unread = || State::Unread("no permission".into());
    for (states, outcome, notes) in [
        (vec![], Outcome::Fail, 0),
        (vec![State::Missing, there()], Outcome::Fail, 0),
        (vec![unread(), there()], Outcome::Error, 0),
        (vec![unread()], Outcome::Error, 0),
        // A known difference takes precedence over an unreadable object.
        (vec![unread(), State::Missing], Outcome::Fail, 1),
    ] {
        let verdict = Drift {}.judge(&system(), &seen(states.into_iter().map(object).collect()));
        assert_eq!((verdict.outcome, verdict.notes.len()), (outcome, notes), "{verdict:?}");
        let is_reported = outcome == Outcome::Fail || verdict.reasons[0].seen.contains("Service s: no permission");
        assert!(is_reported, "{verdict:?}");
    }
}

#[test]
fn an_object_belongs_to_a_server_by_label_or_else_by_name() {
    let select: Select = serde_json::from_value(json!({"labels": {}, "server-label": "component"})).unwrap();
    let is_of = |server: &str, object: &Value| is_of(&select, server, object);
    assert!(is_of("nas-1", &manifest()) && !is_of("nas-2", &manifest()));
    let plain = json!({"metadata": {"name": "x-nas-1"}, "spec": {"selector": {"matchLabels": {}}}});
    assert!(is_of("nas-1", &plain) && !is_of("as-1", &plain));
    assert!(!is_of("nas-1", &with(plain, &[("/metadata/labels", json!({"component": "nas-11"}))])));
}
