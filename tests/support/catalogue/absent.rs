//! A round of pods that never come.

use serde_json::json;

use super::rounds::{ERROR, FAIL, NOTHING_COPIED, OF_THE_POD};
use super::{Change, Fault, Guard, Round};

/// The other tests of an output server that look at its pod.
const OF_THE_OUTPUT: &[&str] = &["phase2::host-mount", "phase3::sidecar", "phase3::sidecar-set-up"];

pub fn round() -> Round {
    let refused = |id, server, guard, wrong| Fault { id, server, change: Change::Refused(guard), wrong };
    let faults = vec![
        Fault {
            id: "E1 no node",
            server: "nas-output-1",
            change: Change::Deployment(json!([
                {"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"no-such-label": "true"}},
            ])),
            // The older pod serves on, beside the one without a node.
            wrong: &[
                (FAIL, &["phase2::pods-count", "phase2::pods"]),
                (ERROR, OF_THE_POD),
                (ERROR, NOTHING_COPIED),
                (ERROR, OF_THE_OUTPUT),
            ],
        },
        refused("E2 a policy denies", "nas-input-1", Guard::Policy, OF_AN_INPUT),
        refused("E3 a webhook cannot be called", "nas-input-2", Guard::Webhook, OF_AN_INPUT),
        refused(
            "E4 quota",
            "nas-output-2",
            Guard::Quota,
            &[(FAIL, &["phase2::pods"]), (ERROR, OF_THE_POD), (ERROR, NOTHING_COPIED), (ERROR, OF_THE_OUTPUT)],
        ),
        // Last: it is of the whole namespace.
        refused("E5 PodSecurity", "nas-backup", Guard::PodSecurity, OF_AN_INPUT),
    ];
    Round::usual("absent", faults)
}

/// What must not PASS where the newest pod of a server without a sidecar does not come.
const OF_AN_INPUT: &[(&str, &[&str])] =
    &[(FAIL, &["phase2::pods"]), (ERROR, OF_THE_POD), (ERROR, &["phase3::no-sidecar"])];
