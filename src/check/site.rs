//! The context of one test: its server, its pod, and their expected properties; [`work`](super::work) has its
//! operations.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::parameter::{DurationParam, Expected, ExpectedFact};
use super::shared::Shared;
use super::system::System;
use crate::cluster::container;
use crate::cluster::server::{RolloutState, counted, is_terminating};
use crate::cluster::{ApiError, ResourceExt, Server, Snapshot};
use crate::event::{Event, Reason, TestId, Verdict};

pub struct Site {
    pub shared: Arc<Shared>,
    pub id: TestId,
    pub system: Arc<System>,
    pod: OnceLock<Arc<Pod>>,
}

impl Site {
    pub fn new(shared: Arc<Shared>, id: TestId, system: Arc<System>) -> Self {
        Self { shared, id, system, pod: OnceLock::new() }
    }

    /// The server under test; empty for a check of the whole system.
    pub fn server(&self) -> &str {
        self.id.server.as_deref().unwrap_or_default()
    }

    /// Reports to the live display that the test waits.
    pub fn waiting(&self, what: impl Into<String>, timeout: Duration) {
        let event = Event::TestWaiting { id: self.id.clone(), what: what.into(), limit: timeout };
        self.shared.emit(event);
    }

    /// Waits until `pending` returns `None` for a server, or for all, or until the limit for rollouts; returns the
    /// snapshot.
    pub async fn settled(
        &self,
        server: Option<&str>,
        mut pending: impl FnMut(&Snapshot) -> Option<String>,
    ) -> Result<Snapshot, Verdict> {
        let deadline = self.shared.settle_deadline();
        let left = deadline.saturating_duration_since(Instant::now());
        let mut is_reported = false;
        loop {
            let mut changes = self.shared.watch.changes(server);
            let snapshot = self.shared.watch.snapshot();
            let open = match &snapshot {
                Ok(snapshot) => pending(snapshot),
                Err(ApiError::Forbidden { .. } | ApiError::Unauthorized { .. }) => None,
                Err(error) => Some(error.to_string()),
            };
            let Some(open) = open.filter(|_| Instant::now() < deadline) else {
                return snapshot.map_err(|error| self.request_failed(&error));
            };
            if !is_reported {
                self.waiting(open, left);
                is_reported = true;
            }
            let _ = tokio::time::timeout_at(deadline, changes.changed()).await;
        }
    }

    /// The snapshot after the rollout of a server has settled or failed.
    pub async fn server_settled(&self, server: &str) -> Result<Snapshot, Verdict> {
        self.settled(Some(server), |snapshot| snapshot.server(&self.system.pods, server).rollout_state().pending())
            .await
    }

    /// The server under test, after its rollout has settled or failed.
    pub async fn settled_server(&self) -> Result<(Server, Snapshot), Verdict> {
        let snapshot = self.server_settled(self.server()).await?;
        Ok((snapshot.server(&self.system.pods, self.server()), snapshot))
    }

    /// The snapshot after the rollouts of all the suite's servers have settled or failed.
    pub async fn all_settled(&self) -> Result<Snapshot, Verdict> {
        self.settled(None, |snapshot| {
            let mut states = self.system.names().map(|name| snapshot.server(&self.system.pods, name).rollout_state());
            states.find_map(RolloutState::pending)
        })
        .await
    }

    /// The current pod of the server under test, and the snapshot with it.
    /// Errors: there is not exactly one: blocked by the test `pods` of this server. Or the server exited on a request
    /// of another test.
    pub async fn pod(&self) -> Result<(Arc<Pod>, Snapshot), Verdict> {
        if let Some(exit) = self.shared.exits.of(self.server()) {
            return Err(exit.blocks(self.server()));
        }
        let (server, snapshot) = self.settled_server().await?;
        let object = format!("server {}", self.server());
        if let Some(obstacle) = server.obstacle() {
            let what = format!("{}: {}", obstacle.object, obstacle.seen());
            return Err(self.blocked(Reason::new(object, "its newest pod", what)));
        }
        let current = server.current();
        let [pod] = current.as_slice() else {
            return Err(self.blocked(Reason::new(object, "exactly one current pod", counted(&current))));
        };
        let _ = self.pod.set(Arc::clone(pod));
        Ok((Arc::clone(pod), snapshot))
    }

    /// The current [`pod`](Self::pod), if no container restarted recently: what a restarting container shows depends on the
    /// moment.
    /// Errors: as for [`pod`](Self::pod), or a container restarted: blocked by the test `pods` of this server.
    pub async fn steady_pod(&self) -> Result<(Arc<Pod>, Snapshot), Verdict> {
        let (pod, snapshot) = self.pod().await?;
        if let Some(view) = recently_restarted(&pod, self.system.restart_window, snapshot.now) {
            let object = container::label(&pod, view.name);
            return Err(self.blocked(Reason::new(
                object,
                format!("no restart within {}", self.system.restart_window),
                view.describe(),
            )));
        }
        Ok((pod, snapshot))
    }

    /// The ERROR for a test that used the pod, if the server exited on a request of another test meanwhile.
    pub async fn exited_during_test(&self) -> Option<Verdict> {
        self.pod.get()?;
        // The test with the server's first request may still be investigating.
        let exit = self.shared.exits.resolved(self.server()).await.filter(|exit| exit.by != self.id)?;
        Some(exit.blocks(self.server()))
    }

    /// ERROR for a reason that the test `pods` of this server explains.
    pub fn blocked(&self, reason: Reason) -> Verdict {
        Verdict::blocked(format!("pods::{}", self.server()), reason)
    }

    /// ERROR because of a failed API request.
    pub fn request_failed(&self, error: &ApiError) -> Verdict {
        let object = format!("cluster {}", self.shared.cluster.context());
        Verdict::error(Reason::new(object, "to answer the request", error.to_string()).hint(error.hint()))
    }

    /// Returns when the test's pod is deleted or replaced; never for a test that uses no pod.
    pub async fn pod_replaced(&self) -> Reason {
        loop {
            let mut changes = self.shared.watch.changes(self.id.server.as_deref());
            if let (Some(own), Ok(snapshot)) = (self.pod.get(), self.shared.watch.snapshot()) {
                let pod = snapshot.pods.iter().find(|pod| pod.metadata.uid == own.metadata.uid);
                if pod.is_none_or(|pod| is_terminating(pod)) {
                    return self.replaced();
                }
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The ERROR for a failed test whose pod no longer exists, even if the watch has not reported that yet.
    pub async fn replaced_during_test(&self) -> Option<Verdict> {
        let pod = self.pod.get()?;
        let exists = self.shared.cluster.has_pod(&pod.name_any(), &pod.uid().unwrap_or_default()).await;
        (!exists.unwrap_or(true)).then(|| Verdict::error(self.replaced()))
    }

    fn replaced(&self) -> Reason {
        Reason::new(
            format!("the pod of {}", self.server()),
            "the same pod throughout the test",
            "deleted or replaced during the test",
        )
        .hint("run the test again after the rollout")
    }

    /// The expected property of the server under test: from the values, or else the system's default.
    /// Errors: the values lack the server.
    pub fn expected(&self, fact: Option<&ExpectedFact>) -> Result<Expected, Verdict> {
        self.expected_of(self.server(), fact)
    }

    pub fn expected_of(&self, server: &str, fact: Option<&ExpectedFact>) -> Result<Expected, Verdict> {
        let Some(fact) = fact else {
            return Ok(Expected { value: None, source: "the system does not have this fact".to_owned() });
        };
        let values = &self.shared.values;
        let Some(facts) = values.server(server) else {
            let object = format!("values ({})", values.origin);
            let expected = format!("a server {server} in nasServers");
            let hint = "pass the values that the release was installed with: --values FILE";
            return Err(Verdict::error(Reason::new(object, expected, values.names().join(", ")).hint(hint)));
        };
        let (value, source) = match (facts.get(&fact.values), &fact.default) {
            (Some(value), _) => (Some(value), format!("{} in the values, {}", fact.values, values.origin)),
            (None, Some(default)) => {
                (Some(default), format!("the system's default, because the values do not set {}", fact.values))
            }
            (None, None) => (None, format!("the values do not set {}", fact.values)),
        };
        Ok(Expected { value: value.cloned(), source })
    }
}

pub(super) fn recently_restarted(pod: &Pod, window: DurationParam, now: Timestamp) -> Option<container::View<'_>> {
    container::all(pod).into_iter().find(|view| has_recently_restarted(pod, view, window, now))
}

/// Whether a container restarted within the window; restarts of a completed init container do not count.
pub(super) fn has_recently_restarted(
    pod: &Pod,
    view: &container::View<'_>,
    window: DurationParam,
    now: Timestamp,
) -> bool {
    let has_completed = view.kind == container::Kind::Init && view.has_completed();
    !has_completed && container::restarted_recently(pod, view, window.signed(), now)
}

/// If several pods have the server's labels, the newest one of its Deployment, unless an obstacle blocks that one.
pub(super) fn newest_of_several(server: &Server) -> Option<Arc<Pod>> {
    let current = server.current();
    match current.iter().filter(|pod| server.is_newest(pod)).collect::<Vec<_>>().as_slice() {
        [newest] if current.len() > 1 && server.obstacle().is_none() => Some(Arc::clone(newest)),
        _ => None,
    }
}
