//! Which obstacles are final, and which may resolve themselves.

use serde_json::{Value, json};

use super::*;
use crate::cluster::example::{NOW, output_pod, output_server, with};
use crate::cluster::server::RolloutState;

const DENIED: &str = "admission webhook \"w.example\" denied the request: no";
const QUOTA: &str = "pods \"x-\" is forbidden: exceeded quota: few, requested: pods=1, used: pods=6, limited: pods=6";
const WEBHOOK: &str = "Internal error occurred: failed calling webhook \"w.example\": failed to call webhook: no";

fn seconds_ago(ago: i64) -> String {
    (NOW.parse::<Timestamp>().unwrap() - SignedDuration::from_secs(ago)).to_string()
}

fn failure(message: &str, ago: i64) -> Value {
    json!({"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": message, "lastTransitionTime": seconds_ago(ago)}]})
}

/// A server whose newest ReplicaSet cannot create a pod.
fn refused(message: &str, ago: i64, changes: &[(&str, Value)]) -> Server {
    let refused = [("/pods", json!([])), ("/replica_sets/1/status", failure(message, ago)), ("/now", json!(NOW))];
    serde_json::from_value(with(with(output_server(), &refused), changes)).unwrap()
}

/// A server whose pod has no node.
fn unscheduled(ago: i64, announced: Value, changes: &[(&str, Value)]) -> Server {
    let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes", "lastTransitionTime": seconds_ago(ago)});
    let pending = [
        ("/pods/0/status", json!({"phase": "Pending", "conditions": [condition]})),
        ("/now", json!(NOW)),
        ("/announced", announced),
    ];
    serde_json::from_value(with(with(output_server(), &pending), changes)).unwrap()
}

fn is_stuck(server: &Server) -> bool {
    match server.rollout_state() {
        RolloutState::Stuck(_) => true,
        RolloutState::Pending(_) => false,
        RolloutState::Settled => panic!("{server:?}"),
    }
}

fn of_another_set() -> Value {
    with(output_pod(), &[("/metadata/ownerReferences/0/uid", json!("set-1"))])
}

#[test]
fn a_denial_is_final_at_once_and_others_after_20_s_unless_a_pod_goes_away() {
    let older = ("/pods", json!([of_another_set()]));
    let own = ("/pods", json!([with(of_another_set(), &[("/metadata/deletionTimestamp", json!(NOW))])]));
    let others = ("/leaving", json!(["pod other is being deleted"]));
    for (message, ago, change, is_final) in [
        (DENIED, 0, None, true),
        ("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": hostPath", 0, None, true),
        ("pods \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", 0, None, true),
        (QUOTA, 19, None, false),
        (QUOTA, 20, None, true),
        (WEBHOOK, 19, None, false),
        (WEBHOOK, 20, None, true),
        ("pods \"x\" is forbidden: error looking up service account", 19, None, false),
        // An older pod that still serves does not hide it.
        (QUOTA, 60, Some(&older), true),
        (QUOTA, 60, Some(&own), false),
        (WEBHOOK, 60, Some(&own), false),
        (DENIED, 60, Some(&own), true),
        (QUOTA, 60, Some(&others), false),
        (WEBHOOK, 60, Some(&others), true),
    ] {
        let changes: Vec<_> = change.into_iter().cloned().collect();
        assert_eq!(is_stuck(&refused(message, ago, &changes)), is_final, "{message}, {ago} s ago, {change:?}");
    }
    let nothing = json!({"pod-1": {"Ok": null}});
    let is_final = |ago, changes: &[(&str, Value)]| is_stuck(&unscheduled(ago, nothing.clone(), changes));
    assert_eq!([is_final(19, &[]), is_final(20, &[]), is_final(60, &[others])], [false, true, false]);
}

#[test]
fn only_the_current_condition_of_the_newest_replica_set_counts() {
    let of_older = ("/replica_sets/0/status", failure(DENIED, 60));
    let is_settled = |changes: &[(&str, Value)]| {
        let server: Server = serde_json::from_value(with(output_server(), changes)).unwrap();
        (server.rollout_state(), server.obstacle()) == (RolloutState::Settled, None)
    };
    assert!(is_settled(std::slice::from_ref(&of_older)));
    // The pod may appear before the condition is removed.
    assert!(is_settled(&[("/replica_sets/1/status", failure(DENIED, 60))]));
    for (what, change) in [
        ("not observed yet", ("/deployments/0/status/observedGeneration", json!(1))),
        ("scaled since", ("/replica_sets/1/metadata/generation", json!(2))),
        ("removed", ("/replica_sets/1/status", json!({"replicas": 0}))),
        ("another failure", ("/replica_sets/1/status/conditions/0/reason", json!("FailedDelete"))),
    ] {
        let server = refused(DENIED, 60, &[change]);
        assert!(!is_stuck(&server) && server.obstacle().is_none(), "{what}");
    }
}

#[test]
fn an_unschedulable_pod_may_get_an_announced_node_or_the_room_of_evicted_pods() {
    let may_resolve = |announced: Value| unscheduled(600, announced, &[]).obstacle().unwrap().may_resolve;
    assert_eq!(may_resolve(json!({"pod-1": {"Ok": null}})), None);
    assert!(may_resolve(json!({"pod-1": {"Ok": "Nominated: nodeclaim/x"}})).unwrap().contains("nodeclaim/x"));
    assert!(may_resolve(json!({"pod-1": {"Err": "forbidden"}})).unwrap().contains("cannot check: forbidden"));
    assert!(may_resolve(json!({})).is_some(), "not checked yet");
    let nominated = [("/pods/0/status/nominatedNodeName", json!("node-1"))];
    let nominated = unscheduled(600, json!({"pod-1": {"Ok": null}}), &nominated).obstacle().unwrap();
    assert!(nominated.may_resolve.unwrap().contains("node-1"), "pods of lower priority are evicted");
}

#[test]
fn a_denied_replica_set_is_final_only_in_the_first_generation() {
    let denied = |generation: i64| {
        let condition = json!({"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError",
            "message": format!("Failed to create new replica set \"x\": {DENIED}")});
        let deployment = "/deployments/0";
        let changes = [
            (format!("{deployment}/metadata/generation"), json!(generation)),
            (format!("{deployment}/status"), json!({"conditions": [condition]})),
        ];
        let changes = changes.each_ref().map(|(pointer, value)| (pointer.as_str(), value.clone()));
        serde_json::from_value::<Server>(with(output_server(), &changes)).unwrap()
    };
    assert!(is_stuck(&denied(1)) && !is_stuck(&denied(2)));
    assert_eq!(denied(2).obstacle().unwrap().object, "Deployment nas-output-1");
}
