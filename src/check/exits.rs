//! Servers that ended at a request of this run: whose request it was, and that such a server gets no other.

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

/// How long a session waits for its turn: one with a silent server takes longer, and ends no server.
const TURN: Duration = Duration::from_secs(10);
/// How much the node's clock, which has whole seconds in what it says, may be behind the API server's.
const BEHIND: SignedDuration = SignedDuration::from_secs(2);
/// Exit codes of a container that was told to end, or was killed: by the kubelet, or because it took too much memory.
const KILLED: [i32; 2] = [128 + 15, 128 + 9];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub by: TestId,
    pub container: String,
    /// Its uid.
    pub pod: String,
    /// When it ended, and how long it had run.
    pub at: Timestamp,
    pub ran: SignedDuration,
    /// How often it had been started again before.
    pub restarts: i32,
    /// How: the exit code and Kubernetes' reason.
    pub how: String,
    /// The last lines of its log, or why they are not known.
    pub said: Vec<String>,
}

#[derive(Default)]
pub struct Exits(Mutex<HashMap<String, Server>>);

#[derive(Default, Clone)]
struct Server {
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Held while it is found out whether it ended.
    question: Arc<tokio::sync::Mutex<()>>,
    exit: Option<Exit>,
}

/// The right to send a server its first request.
pub type Turn = Option<OwnedMutexGuard<()>>;

impl Exits {
    fn server<T>(&self, name: &str, look: impl FnOnce(&mut Server) -> T) -> T {
        look(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default())
    }

    /// How a server is known to have ended at a request of this run.
    pub fn of(&self, server: &str) -> Option<Exit> {
        self.server(server, |it| it.exit.clone())
    }

    /// The same, after whoever is at the server's first request, or is finding out whether it ended.
    pub async fn settled(&self, server: &str) -> Option<Exit> {
        drop(self.turn(server).await);
        self.of(server)
    }

    /// Waits for whoever is at a server's first request: unless it is silent, it is then known whether the server ended at it.
    pub async fn turn(&self, server: &str) -> Turn {
        let Server { turn, question, .. } = self.server(server, |it| it.clone());
        let turn = timeout(TURN, turn.lock_owned()).await.ok();
        drop(question.lock().await);
        turn
    }

    /// The right to find out whether a server ended: until it is given back, nobody sends it a first request.
    pub async fn question(&self, server: &str) -> OwnedMutexGuard<()> {
        self.server(server, |it| Arc::clone(&it.question)).lock_owned().await
    }

    /// Notes an exit; returns the one that counts, which is the first.
    pub fn note(&self, server: &str, exit: Exit) -> Exit {
        self.server(server, |it| it.exit.get_or_insert(exit).clone())
    }
}

impl Exit {
    /// ERROR of another test of the server.
    pub fn blocks(&self, server: &str) -> Verdict {
        let seen = format!("container {} ended at a request of {}", self.container, self.by);
        Verdict::blocked(
            self.by.to_string(),
            Reason::new(format!("server {server}"), "to run during the whole test", seen),
        )
    }

    /// Whether it is the reason for the container's last restart, and that for the only one within the window.
    pub fn explains(&self, pod: &Pod, view: &View<'_>, window: SignedDuration) -> bool {
        let is_its = pod.uid().as_deref() == Some(&self.pod) && view.name == self.container;
        let is_last = view.end().is_some_and(|end| at(end.finished_at.as_ref()) == self.at);
        is_its && is_last && (self.restarts == 0 || self.ran >= window)
    }
}

/// Whether that is the end since then of a container that a request ended, and nobody who manages it.
pub fn is_own(end: &ContainerStateTerminated, since: Timestamp) -> bool {
    let is_killed = KILLED.contains(&end.exit_code) || end.reason.as_deref() == Some("OOMKilled");
    !is_killed && at(end.finished_at.as_ref()) + BEHIND >= since
}

/// A time of a container's state, which has all once it has ended.
pub fn at(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_end_that_came_before_or_was_ordered_is_no_requests_own() {
        let at: Timestamp = "2026-11-21T03:00:10.9Z".parse().unwrap();
        let is = |code: i32, reason: &str, finished: &str| {
            let end = json!({"exitCode": code, "reason": reason, "finishedAt": finished});
            is_own(&serde_json::from_value(end).unwrap(), at)
        };
        let (now, before) = ("2026-11-21T03:00:10Z", "2026-11-21T03:00:07Z");
        assert!(is(1, "Error", now) && is(0, "Completed", now) && is(139, "Error", now), "139: it crashed");
        assert!(!is(1, "Error", before) && !is(137, "Error", now) && !is(143, "Error", now));
        assert!(!is(1, "OOMKilled", now));
    }

    #[tokio::test]
    async fn nobody_begins_while_it_is_found_out_whether_the_server_ended() {
        let exits = Exits::default();
        let question = exits.question("nas").await;
        let mut other = Box::pin(exits.turn("nas"));
        assert!(poll!(&mut other).is_pending());
        assert!(poll!(Box::pin(exits.turn("nas-2"))).is_ready());
        drop(question);
        assert!(other.await.is_some());
    }
}
