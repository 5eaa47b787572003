//! What one test has at hand: its server and pod, and what the values say of them; [`work`](super::work) has what it does there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::parameter::{Expected, Fact, Span};
use super::shared::Shared;
use super::system::System;
use crate::cluster::container;
use crate::cluster::server::{Settlement, counted, is_terminating};
use crate::cluster::{ApiError, Population, ResourceExt, Server};
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

    /// The server under test; empty for a check of the whole.
    pub fn server(&self) -> &str {
        self.id.server.as_deref().unwrap_or_default()
    }

    /// Says that the test waits, for the live display.
    pub fn waiting(&self, what: impl Into<String>, limit: Duration) {
        let event = Event::TestWaiting { id: self.id.clone(), what: what.into(), limit };
        self.shared.tell(event);
    }

    /// Waits until `pending` has nothing more to wait for, of a server or of all, at most until rollouts must have settled; then
    /// what there is.
    pub async fn settled(
        &self,
        server: Option<&str>,
        mut pending: impl FnMut(&Population) -> Option<String>,
    ) -> Result<Population, Verdict> {
        let limit = self.shared.settle_limit();
        let left = limit.saturating_duration_since(Instant::now());
        let mut said = false;
        loop {
            let mut changes = self.shared.watch.changes(server);
            let looked = self.shared.watch.population();
            let open = match &looked {
                Ok(population) => pending(population),
                Err(ApiError::Forbidden { .. } | ApiError::Unauthorized { .. }) => None,
                Err(error) => Some(error.to_string()),
            };
            let Some(open) = open.filter(|_| Instant::now() < limit) else {
                return looked.map_err(|error| self.no_answer(&error));
            };
            if !said {
                self.waiting(open, left);
                said = true;
            }
            let _ = tokio::time::timeout_at(limit, changes.changed()).await;
        }
    }

    /// What there is when the rollout of a server has settled or cannot.
    pub async fn server_settled(&self, server: &str) -> Result<Population, Verdict> {
        self.settled(Some(server), |population| population.server(&self.system.pods, server).settlement().pending())
            .await
    }

    /// The server under test, after its rollout has settled or cannot.
    pub async fn settled_server(&self) -> Result<(Server, Population), Verdict> {
        let population = self.server_settled(self.server()).await?;
        Ok((population.server(&self.system.pods, self.server()), population))
    }

    /// What there is when the rollouts of all servers of the suite have settled or cannot.
    pub async fn all_settled(&self) -> Result<Population, Verdict> {
        self.settled(None, |population| {
            let mut settlements =
                self.system.names().map(|name| population.server(&self.system.pods, name).settlement());
            settlements.find_map(Settlement::pending)
        })
        .await
    }

    /// The one pod of the server under test, and the server and moment that it was seen with.
    ///
    /// # Errors
    /// There is not exactly one: blocked by the test `pods` of this server. Or a request of another test ended the server.
    pub async fn pod(&self) -> Result<(Arc<Pod>, Population), Verdict> {
        if let Some(exit) = self.shared.exits.of(self.server()) {
            return Err(exit.blocks(self.server()));
        }
        let (server, population) = self.settled_server().await?;
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
        Ok((Arc::clone(pod), population))
    }

    /// The same, if no container of it was restarted within the window: one that comes and goes can be seen either way.
    ///
    /// # Errors
    /// There is not exactly one, or it does not run steadily: blocked by the test `pods` of this server.
    pub async fn steady_pod(&self) -> Result<(Arc<Pod>, Population), Verdict> {
        let (pod, population) = self.pod().await?;
        if let Some(view) = restless(&pod, self.system.restart_window, population.now) {
            let object = container::place(&pod, view.name);
            return Err(self.blocked(Reason::new(object, "to run steadily", view.describe())));
        }
        Ok((pod, population))
    }

    /// ERROR in place of what a test of the pod made of a server that a request of another test ended while it ran.
    pub async fn ended_under_it(&self) -> Option<Verdict> {
        self.pod.get()?;
        // Whoever sends the server its first request may be about to find out.
        let exit = self.shared.exits.settled(self.server()).await.filter(|exit| exit.by != self.id)?;
        Some(exit.blocks(self.server()))
    }

    /// ERROR, because of something that the test `pods` of this server says more about.
    pub fn blocked(&self, reason: Reason) -> Verdict {
        Verdict::blocked(format!("pods::{}", self.server()), reason)
    }

    /// ERROR, because the API did not give what was needed.
    pub fn no_answer(&self, error: &ApiError) -> Verdict {
        let object = format!("cluster {}", self.shared.cluster.context());
        Verdict::error(Reason::new(object, "an answer", error.to_string()).hint(error.hint()))
    }

    /// Returns when the pod that the test works with is replaced or deleted; never, as long as it uses none.
    pub async fn pod_replaced(&self) -> Reason {
        loop {
            let mut changes = self.shared.watch.changes(self.id.server.as_deref());
            if let (Some(own), Ok(population)) = (self.pod.get(), self.shared.watch.population()) {
                let pod = population.pods.iter().find(|pod| pod.metadata.uid == own.metadata.uid);
                if pod.is_none_or(|pod| is_terminating(pod)) {
                    return self.replaced();
                }
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// ERROR in place of a FAIL of a test whose pod is not there any more, although the watch has not told of it yet.
    pub async fn replaced_under_it(&self) -> Option<Verdict> {
        let pod = self.pod.get()?;
        let is_there = self.shared.cluster.has_pod(&pod.name_any(), &pod.uid().unwrap_or_default()).await;
        (!is_there.unwrap_or(true)).then(|| Verdict::error(self.replaced()))
    }

    fn replaced(&self) -> Reason {
        Reason::new(
            format!("the pod of {}", self.server()),
            "the same pod during the whole test",
            "it was deleted or replaced while the test ran",
        )
        .hint("run the test again when the rollout is over")
    }

    /// What the values, or else the suite, say of something that the server should have.
    ///
    /// # Errors
    /// The values do not have the server.
    pub fn expected(&self, fact: Option<&Fact>) -> Result<Expected, Verdict> {
        self.expected_of(self.server(), fact)
    }

    /// The same of any server.
    pub fn expected_of(&self, server: &str, fact: Option<&Fact>) -> Result<Expected, Verdict> {
        let Some(fact) = fact else {
            return Ok(Expected { value: None, source: "nobody: the system does not have it".to_owned() });
        };
        let values = &self.shared.values;
        let Some(facts) = values.server(server) else {
            let object = format!("values ({})", values.origin);
            let expected = format!("a server {server} in nasServers");
            let hint = "give the values that the release was installed with: --values FILE";
            return Err(Verdict::error(Reason::new(object, expected, values.names().join(", ")).hint(hint)));
        };
        let (value, source) = match (facts.get(&fact.values), &fact.default) {
            (Some(value), _) => (Some(value), format!("{} in the values ({})", fact.values, values.origin)),
            (None, Some(default)) => {
                (Some(default), format!("the system, because the values do not have {}", fact.values))
            }
            (None, None) => (None, format!("nobody: the values do not have {}", fact.values)),
        };
        Ok(Expected { value: value.cloned(), source })
    }
}

/// A container of the pod that was restarted within the window.
pub(super) fn restless(pod: &Pod, window: Span, now: Timestamp) -> Option<container::View<'_>> {
    container::all(pod).into_iter().find(|view| is_restless(pod, view, window, now))
}

/// Whether a container was restarted within the window; one that has completed is no loop, whatever it took.
pub(super) fn is_restless(pod: &Pod, view: &container::View<'_>, window: Span, now: Timestamp) -> bool {
    let has_completed = view.kind == container::Kind::Init && view.has_completed();
    !has_completed && container::is_restless(pod, view, window.signed(), now)
}

/// Of several pods with the server's labels the one that its Deployment has made last, if nothing keeps that from coming.
pub(super) fn newest_of_several(server: &Server) -> Option<Arc<Pod>> {
    let current = server.current();
    match current.iter().filter(|pod| server.is_newest(pod)).collect::<Vec<_>>().as_slice() {
        [newest] if current.len() > 1 && server.obstacle().is_none() => Some(Arc::clone(newest)),
        _ => None,
    }
}
