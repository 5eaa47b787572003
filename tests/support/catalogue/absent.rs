//! A round of pods that never come.

use serde_json::json;

use super::patches::{add, deployment};
use super::rounds::{NOTHING_COPIED, OF_THE_POD};
use super::{Change, Guard, Round, fault};

/// The other tests of an output server that look at its pod.
const OF_THE_OUTPUT: &[&str] = &["phase2::host-mount", "phase3::sidecar", "phase3::sidecar-set-up"];

pub fn round() -> Round {
    let no_node = add("/spec/template/spec/nodeSelector", json!({"no-such-label": "true"}));
    let refused =
        |id, server, guard| fault(id, server, Change::Refused(guard)).fail(&["phase2::pods"]).error(OF_THE_POD);
    let of_an_input = |id, server, guard| refused(id, server, guard).error(&["phase3::no-sidecar"]);
    let faults = vec![
        // The older pod serves on, beside the one without a node.
        fault("E1 no node", "nas-output-1", deployment(&[no_node]))
            .fail(&["phase2::pods-count", "phase2::pods"])
            .error(OF_THE_POD)
            .error(NOTHING_COPIED)
            .error(OF_THE_OUTPUT),
        of_an_input("E2 a policy denies", "nas-input-1", Guard::Policy),
        of_an_input("E3 a webhook cannot be called", "nas-input-2", Guard::Webhook),
        refused("E4 quota", "nas-output-2", Guard::Quota).error(NOTHING_COPIED).error(OF_THE_OUTPUT),
        // Last: it is of the whole namespace.
        of_an_input("E5 PodSecurity", "nas-backup", Guard::PodSecurity),
    ];
    Round::usual("absent", faults)
}
