//! Checks that observe the pod alone: how many reasons to fail they find in a healthy pod with a few modified values.

use serde_json::{Value, json};

use crate::check::Check;
use crate::check::system::tests::system;
use crate::cluster::example::{NOW, output_pod, with};
use crate::event::Outcome;

const SERVER: &str = "/spec/containers/0/securityContext";
const SIDECAR: &str = "/spec/initContainers/1/securityContext";

fn judged(check: &Value, changes: &[(&str, Value)]) -> (Outcome, usize) {
    let check: Check = serde_json::from_value(check.clone()).unwrap();
    let rights =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
    let pod = with(with(output_pod(), &[(SERVER, rights)]), changes);
    let verdict = check.judge(&system(), json!({"pod": pod, "now": NOW})).unwrap();
    (verdict.outcome, verdict.reasons.len())
}

fn expected(reasons: usize) -> (Outcome, usize) {
    (if reasons == 0 { Outcome::Pass } else { Outcome::Fail }, reasons)
}

#[test]
fn each_wrong_value_is_one_reason_and_another_spelling_is_none() {
    let security = json!({"security": {"add": ["NET_BIND_SERVICE"]}});
    let (size_limit, native, no_sidecar) =
        (json!({"size-limit": {}}), json!({"native-sidecar": {}}), json!({"no-sidecar": {}}));
    let server = |field: &str| format!("{SERVER}/{field}");
    let volume = |name: &str, limit: &str| json!({"name": name, "emptyDir": {"sizeLimit": limit}});
    let init = |field: &str, value: &str| {
        json!([with(output_pod()["spec"]["initContainers"][0].clone(), &[(field, json!(value))])])
    };
    for (check, pointer, value, wanted) in [
        (&security, &*server("capabilities"), json!({"drop": ["all"], "add": ["cap_net_bind_service"]}), 0),
        (&security, &server("capabilities"), Value::Null, 2),
        (&security, &server("capabilities/add"), json!(["NET_BIND_SERVICE", "SYS_ADMIN"]), 1),
        (&security, &server("capabilities/drop"), json!(["NET_RAW"]), 1),
        (&security, &server("allowPrivilegeEscalation"), json!(true), 1),
        // The server's container is missing, and the other one adds a capability.
        (&security, "/spec/containers/0/name", json!("other"), 2),
        (&security, SIDECAR, json!({"privileged": true}), 1),
        (&security, SIDECAR, json!({"allowPrivilegeEscalation": true}), 1),
        (&security, SIDECAR, json!({"capabilities": {"add": ["NET_BIND_SERVICE"]}}), 1),
        (&security, "/spec/hostNetwork", json!(true), 1),
        (&security, "/spec/hostPID", json!(true), 1),
        (&security, "/spec/hostIPC", json!(true), 1),
        (&size_limit, "/spec/volumes/1", volume("nfs-export", "0.5Gi"), 0),
        (&size_limit, "/spec/volumes/1", volume("nfs-export", "0"), 1),
        (&size_limit, "/spec/volumes/1", volume("other", "1Gi"), 1),
        (&native, "/status/initContainerStatuses/1/started", json!(true), 0),
        (&native, "/status/initContainerStatuses/1/started", json!(false), 1),
        // Without the init container, or with a sidecar of that name, the test proves nothing.
        (&no_sidecar, "/spec/initContainers", json!([]), 1),
        (&no_sidecar, "/spec/initContainers", init("/name", "other"), 1),
        (&no_sidecar, "/spec/initContainers", init("/restartPolicy", "Always"), 1),
    ] {
        assert_eq!(judged(check, &[(pointer, value.clone())]), expected(wanted), "{check}: {pointer} {value}");
    }
}

#[test]
fn a_debugging_container_counts_only_while_it_runs() {
    let container = json!([{"name": "debug", "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}}]);
    for (state, wanted) in [(json!({"running": {}}), 1), (json!({"terminated": {"exitCode": 0}}), 0)] {
        let status =
            json!([{"name": "debug", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state}]);
        let changes =
            [("/spec/ephemeralContainers", container.clone()), ("/status/ephemeralContainerStatuses", status)];
        assert_eq!(judged(&json!({"security": {"add": ["NET_BIND_SERVICE"]}}), &changes), expected(wanted), "{state}");
    }
}

/// Uses an output server without its sidecar as an input server; the init container also mounts another folder of the
/// node.
#[test]
fn a_mount_of_the_folder_its_parent_or_a_subfolder_fails() {
    let mount = |volume: &str| json!({"name": volume, "mountPath": format!("/{volume}")});
    let init = json!([{"name": "sync-windows-data", "volumeMounts": [mount("clock"), mount("windows-data")]}]);
    for (path, wanted) in [
        ("/mnt/simulator-data", 1),
        ("/mnt/simulator-data/nas-output-1", 1),
        ("/mnt/simulator-data/nas-output-1/sub", 1),
        ("/mnt/simulator-data/nas-output-10", 0),
        ("/etc/localtime", 0),
    ] {
        let volume = |name: &str, path: &str| ("/spec/volumes/-", json!({"name": name, "hostPath": {"path": path}}));
        let other = ("/spec/containers/-", json!({"name": "other", "volumeMounts": [mount("more")]}));
        let clock = volume("clock", "/etc/localtime");
        let changes = [("/spec/initContainers", init.clone()), clock, volume("more", path), other];
        assert_eq!(judged(&json!({"no-sidecar": {}}), &changes), expected(wanted), "{path}");
    }
}
