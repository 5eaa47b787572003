//! NFS servers that exited on a request of this run: which test sent it. Such a server gets no further requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::cluster::ResourceExt;
use crate::cluster::container::View;
use crate::event::{Reason, TestId, Verdict};

/// How long a session waits for its turn. Only sessions with servers that never reply take longer, and those make none
/// exit.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// How far the node's clock may be behind the API server's; it reports whole seconds.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// Exit codes for SIGTERM and SIGKILL, sent by the kubelet or, for too much memory, the kernel.
const KILLED: [i32; 2] = [128 + 15, 128 + 9];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerExit {
    pub by: TestId,
    pub container: String,
    /// The pod's uid.
    pub pod: String,
    pub at: Timestamp,
    pub ran: SignedDuration,
    pub restarts: i32,
    /// The exit code and Kubernetes' reason.
    pub how: String,
    /// The last lines of its log, or why they could not be read.
    #[serde(rename = "said")]
    pub log: Vec<String>,
}

#[derive(Default)]
pub struct ServerExits(Mutex<HashMap<String, Server>>);

#[derive(Default, Clone)]
struct Server {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Locked during an investigation of whether the server exited.
    investigation: Arc<tokio::sync::Mutex<()>>,
    exit: Option<ServerExit>,
}

/// The right to send a server its first request; `None` after a timeout.
pub type Turn = Option<OwnedMutexGuard<()>>;

impl ServerExits {
    fn server<T>(&self, name: &str, look: impl FnOnce(&mut Server) -> T) -> T {
        look(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default())
    }

    /// The server's exit on a request of this run, if it is known already.
    pub fn of(&self, server: &str) -> Option<ServerExit> {
        self.server(server, |it| it.exit.clone())
    }

    /// The server's exit, after a pending first request or investigation has ended.
    pub async fn resolved(&self, server: &str) -> Option<ServerExit> {
        drop(self.turn(server).await);
        self.of(server)
    }

    /// Waits for another session's first request to the server. Afterwards, unless that timed out, it is known whether
    /// the server exited on it.
    pub async fn turn(&self, server: &str) -> Turn {
        let Server { turn, investigation, .. } = self.server(server, |it| it.clone());
        let turn = timeout(TURN_TIMEOUT, turn.lock_owned()).await.ok();
        drop(investigation.lock().await);
        turn
    }

    /// Starts an investigation of whether the server exited; until the guard is dropped, no session sends a first
    /// request.
    pub async fn investigate(&self, server: &str) -> OwnedMutexGuard<()> {
        self.server(server, |it| Arc::clone(&it.investigation)).lock_owned().await
    }

    /// Stores an exit; returns the first one of the server.
    pub fn note(&self, server: &str, exit: ServerExit) -> ServerExit {
        self.server(server, |it| it.exit.get_or_insert(exit).clone())
    }
}

impl ServerExit {
    pub fn blocks(&self, server: &str) -> Verdict {
        let seen = format!("container {} exited on a request from {}", self.container, self.by);
        Verdict::blocked(
            self.by.to_string(),
            Reason::new(format!("server {server}"), "to run throughout the test", seen),
        )
    }

    /// Whether it explains all restarts of the container within the window.
    pub fn explains(&self, pod: &Pod, view: &View<'_>, window: SignedDuration) -> bool {
        let is_its = pod.uid().as_deref() == Some(&self.pod) && view.name == self.container;
        let is_last = view.last_termination().is_some_and(|end| at(end.finished_at.as_ref()) == self.at);
        is_its && is_last && (self.restarts == 0 || self.ran >= window)
    }
}

/// Whether a container exited by itself after `since`, and was not killed.
pub fn exited_by_itself(end: &ContainerStateTerminated, since: Timestamp) -> bool {
    let is_killed = KILLED.contains(&end.exit_code) || end.reason.as_deref() == Some("OOMKilled");
    !is_killed && at(end.finished_at.as_ref()) + CLOCK_SKEW >= since
}

/// A time in the state of an exited container, which has them all.
pub fn at(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_earlier_exit_and_a_killed_container_are_not_caused_by_a_request() {
        let at: Timestamp = "2026-11-21T03:00:10.9Z".parse().unwrap();
        let is = |code: i32, reason: &str, finished: &str| {
            let end = json!({"exitCode": code, "reason": reason, "finishedAt": finished});
            exited_by_itself(&serde_json::from_value(end).unwrap(), at)
        };
        let (now, before) = ("2026-11-21T03:00:10Z", "2026-11-21T03:00:07Z");
        assert!(is(1, "Error", now) && is(0, "Completed", now) && is(139, "Error", now), "139 is a crash");
        assert!(!is(1, "Error", before) && !is(137, "Error", now) && !is(143, "Error", now));
        assert!(!is(1, "OOMKilled", now));
    }

    #[tokio::test]
    async fn no_session_starts_during_an_investigation() {
        let exits = ServerExits::default();
        let investigation = exits.investigate("nas").await;
        let mut other = Box::pin(exits.turn("nas"));
        assert!(poll!(&mut other).is_pending());
        assert!(poll!(Box::pin(exits.turn("nas-2"))).is_ready());
        drop(investigation);
        assert!(other.await.is_some());
    }
}
