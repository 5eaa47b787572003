//! Servers that tests have disrupted: waited for until they are Ready again, so that none is left broken unseen.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use crate::check::{Disrupted, Shared};
use crate::cluster::server::Settlement;
use crate::cluster::{ANSWER, Population, ResourceExt};
use crate::event::{Event, Notice};

/// Waits until a server that was disrupted is Ready again; says why it is not, if it does not become so.
pub async fn recover(shared: &Shared, disrupted: &Disrupted) {
    let Disrupted { test, server, .. } = disrupted;
    // Not from the run's start: the disruption may have come late.
    let at = disrupted.at;
    let limit = at + shared.settings.settle.max(ANSWER);
    let mut last = "nothing is known of it".to_owned();
    let mut is_told = false;
    let mut look = |population: &Population| match state(population, disrupted) {
        Settlement::Settled => Some(Ok(())),
        Settlement::Stuck(why) => Some(Err(why)),
        Settlement::Pending(what) => {
            if !is_told {
                let what = format!("server {server} to be Ready again: {what}");
                let limit = limit.saturating_duration_since(Instant::now());
                shared.emit(Event::TestWaiting { id: test.clone(), what, limit });
                is_told = true;
            }
            last = what;
            None
        }
    };
    // Nothing changes when a deletion that was never sent is no longer waited for.
    let mut state = shared.until(server, at + ANSWER, &mut look).await;
    if let Ok(None) | Err(_) = state {
        state = shared.until(server, limit, &mut look).await;
    }
    let why = match state {
        Ok(Some(Ok(()))) => return shared.recovered(disrupted),
        Ok(Some(Err(why))) => why,
        Ok(None) => format!("{last} {}s after it was disrupted", at.elapsed().as_secs()),
        Err(error) => error.to_string(),
    };
    shared.mark_down(disrupted);
    shared.emit(Event::Noticed(Notice { text: not_ready(shared, disrupted, &why), is_error: true }));
}

/// What the user has to know of a server that was disrupted and not seen to be Ready again.
pub fn not_ready(shared: &Shared, disrupted: &Disrupted, why: &str) -> String {
    let Disrupted { test, server, select, .. } = disrupted;
    let (context, namespace) = (shared.cluster.context(), shared.cluster.namespace());
    format!(
        "server {server}, which {test} disrupted, was not seen Ready again: {why}; look at its events: kubectl \
         --context={context} -n {namespace} describe pods -l {}={server}",
        select.server_label
    )
}

fn state(population: &Population, disrupted: &Disrupted) -> Settlement {
    let server = population.server(&disrupted.select, &disrupted.server);
    let doomed = |pod: &&Arc<Pod>| pod.metadata.uid.as_ref() == Some(&disrupted.deletes);
    // A deletion that was sent and not yet seen; one that was never sent is not waited for.
    if let Some(pod) = server.current().into_iter().find(doomed)
        && disrupted.at.elapsed() < ANSWER
    {
        return Settlement::Pending(format!("pod {} is about to be deleted", pod.name_any()));
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

    fn state_of(ago: Duration, changes: &[(&str, Value)]) -> Settlement {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "nas-output-1", "uid": "deployment-1"}]);
        let healthy = with(output_server(), &[("/replica_sets/1/metadata/ownerReferences", owner)]);
        let server: Server = serde_json::from_value(with(healthy, changes)).unwrap();
        let Server { pods, deployments, replica_sets, .. } = server;
        let population = Population::new(pods, deployments, replica_sets, NOW.parse().unwrap());
        let select = json!({"labels": {"simulator.protocol": "nfs"}, "server-label": "app.kubernetes.io/component"});
        let test = TestId { suite: "restarts".into(), slug: "win-02".into(), server: None };
        let disrupted = Disrupted {
            test,
            server: "nas-output-1".into(),
            select: serde_json::from_value(select).unwrap(),
            deletes: "pod-1".into(),
            at: Instant::now().checked_sub(ago).unwrap(),
        };
        state(&population, &disrupted)
    }

    #[test]
    fn a_server_that_was_disrupted_is_waited_for_until_another_pod_is_ready() {
        let soon = Duration::ZERO;
        let another = with(output_pod(), &[("/metadata/uid", json!("pod-2"))]);
        let coming = with(another.clone(), &[("/status/conditions/0/status", json!("False"))]);
        let ending = with(output_pod(), &[("/metadata/deletionTimestamp", json!(NOW))]);
        for (what, pods) in [
            ("the deletion is not seen yet", json!([output_pod()])),
            ("the old one ends", json!([another.clone(), ending])),
            ("the new one is not Ready", json!([coming.clone()])),
            ("none", json!([])),
        ] {
            assert!(matches!(state_of(soon, &[("/pods", pods)]), Settlement::Pending(_)), "{what}");
        }
        assert_eq!(state_of(soon, &[("/pods", json!([another]))]), Settlement::Settled);
        assert!(matches!(state_of(soon, &[("/pods", json!([])), ("/deployments", json!([]))]), Settlement::Pending(_)));
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let stuck = with(coming, &[("/status/initContainerStatuses/1/state", waiting)]);
        assert!(matches!(state_of(soon, &[("/pods", json!([stuck]))]), Settlement::Stuck(_)));
    }

    #[test]
    fn a_deletion_that_was_never_sent_is_not_waited_for() {
        assert_eq!(state_of(ANSWER * 2, &[]), Settlement::Settled);
    }
}
