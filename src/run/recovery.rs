//! Waits until disrupted servers are Ready again, and reports those that are not.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use crate::check::{Disrupted, Shared};
use crate::cluster::server::RolloutState;
use crate::cluster::{REPLY_TIMEOUT, ResourceExt, Snapshot};
use crate::event::{Event, Notice};

/// Waits until a disrupted server is Ready again, or sends a notice why it is not.
pub async fn recover(shared: &Shared, disrupted: &Disrupted) {
    let Disrupted { test, server, .. } = disrupted;
    // From the disruption, which may be long after the start of the run.
    let at = disrupted.at;
    let deadline = at + shared.settings.settle.max(REPLY_TIMEOUT);
    let mut last = "its state is unknown".to_owned();
    let mut is_reported = false;
    let mut poll = |snapshot: &Snapshot| match state(snapshot, disrupted) {
        RolloutState::Settled => Some(Ok(())),
        RolloutState::Stuck(why) => Some(Err(why)),
        RolloutState::Pending(what) => {
            if !is_reported {
                let what = format!("server {server} to be Ready again: {what}");
                let limit = deadline.saturating_duration_since(Instant::now());
                shared.emit(Event::TestWaiting { id: test.clone(), what, limit });
                is_reported = true;
            }
            last = what;
            None
        }
    };
    // Two waits: the state changes after `REPLY_TIMEOUT` without an event if the deletion was never sent.
    let mut state = shared.until(server, at + REPLY_TIMEOUT, &mut poll).await;
    if let Ok(None) | Err(_) = state {
        state = shared.until(server, deadline, &mut poll).await;
    }
    let why = match state {
        Ok(Some(Ok(()))) => return shared.recovered(disrupted),
        Ok(Some(Err(why))) => why,
        Ok(None) => format!("{last} {} s after the disruption", at.elapsed().as_secs()),
        Err(error) => error.to_string(),
    };
    shared.mark_down(disrupted);
    shared.emit(Event::Noticed(Notice { text: not_ready(shared, disrupted, &why), is_error: true }));
}

/// The notice for a server that was not seen Ready again.
pub fn not_ready(shared: &Shared, disrupted: &Disrupted, why: &str) -> String {
    let Disrupted { test, server, select, .. } = disrupted;
    let (context, namespace) = (shared.cluster.context(), shared.cluster.namespace());
    format!(
        "server {server} was not seen Ready again after {test} disrupted it: {why}; read its events: kubectl \
         --context={context} -n {namespace} describe pods -l {}={server}",
        select.server_label
    )
}

fn state(snapshot: &Snapshot, disrupted: &Disrupted) -> RolloutState {
    let server = snapshot.server(&disrupted.select, &disrupted.server);
    let is_to_be_deleted = |pod: &&Arc<Pod>| pod.metadata.uid.as_ref() == Some(&disrupted.deletes);
    // The deletion may not be visible yet; if it is not after `REPLY_TIMEOUT`, it was never sent.
    if let Some(pod) = server.current().into_iter().find(is_to_be_deleted)
        && disrupted.at.elapsed() < REPLY_TIMEOUT
    {
        return RolloutState::Pending(format!("pod {} is about to be deleted", pod.name_any()));
    }
    server.readiness()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::Server;
    use crate::cluster::example::{NOW, output_pod, output_server, with};
    use crate::event::TestId;

    fn state_of(ago: Duration, changes: &[(&str, Value)]) -> RolloutState {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "nas-output-1", "uid": "deployment-1"}]);
        let healthy = with(output_server(), &[("/replica_sets/1/metadata/ownerReferences", owner)]);
        let server: Server = serde_json::from_value(with(healthy, changes)).unwrap();
        let Server { pods, deployments, replica_sets, .. } = server;
        let snapshot = Snapshot::new(pods, deployments, replica_sets, NOW.parse().unwrap());
        let select = json!({"labels": {"simulator.protocol": "nfs"}, "server-label": "app.kubernetes.io/component"});
        let test = TestId { suite: "restarts".into(), slug: "win-02".into(), server: None };
        let disrupted = Disrupted {
            test,
            server: "nas-output-1".into(),
            select: serde_json::from_value(select).unwrap(),
            deletes: "pod-1".into(),
            at: Instant::now().checked_sub(ago).unwrap(),
        };
        state(&snapshot, &disrupted)
    }

    #[test]
    fn a_disrupted_server_is_pending_until_another_pod_is_ready() {
        let now = Duration::ZERO;
        let another = with(output_pod(), &[("/metadata/uid", json!("pod-2"))]);
        let coming = with(another.clone(), &[("/status/conditions/0/status", json!("False"))]);
        let ending = with(output_pod(), &[("/metadata/deletionTimestamp", json!(NOW))]);
        for (what, pods) in [
            ("the deletion is not visible yet", json!([output_pod()])),
            ("the old pod is being deleted", json!([another.clone(), ending])),
            ("the new pod is not Ready", json!([coming.clone()])),
            ("no pod", json!([])),
        ] {
            assert!(matches!(state_of(now, &[("/pods", pods)]), RolloutState::Pending(_)), "{what}");
        }
        assert_eq!(state_of(now, &[("/pods", json!([another]))]), RolloutState::Settled);
        assert!(matches!(
            state_of(now, &[("/pods", json!([])), ("/deployments", json!([]))]),
            RolloutState::Pending(_)
        ));
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let stuck = with(coming, &[("/status/initContainerStatuses/1/state", waiting)]);
        assert!(matches!(state_of(now, &[("/pods", json!([stuck]))]), RolloutState::Stuck(_)));
    }

    #[test]
    fn a_pod_whose_deletion_was_never_sent_counts_as_recovered() {
        assert_eq!(state_of(REPLY_TIMEOUT * 2, &[]), RolloutState::Settled);
    }
}
