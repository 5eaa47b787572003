//! Servers that end at a request of this run: whose request it was, and that such a server gets no other. May import what
//! checks may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use super::call::{CONNECT, Trouble, What};
use crate::check::Site;
use crate::cluster::container::{self, View};
use crate::cluster::server::is_terminating;
use crate::cluster::{Population, ResourceExt};
use crate::event::{CaseId, Reason, Verdict};

/// How long a session waits for its turn: one with a silent server takes longer, and ends no server.
const TURN: Duration = Duration::from_secs(10);
/// How long it may take until the kubelet tells that a container ended: 1.3 s were seen on a node that is quick.
const TOLD: Duration = Duration::from_secs(4);
/// On one that is slow, so many times longer by what the slowest command took, which counts as no more than the above.
const SLOWER: u32 = 3;
/// How much the node's clock, which has whole seconds in what it says, may be behind the API server's.
const BEHIND: SignedDuration = SignedDuration::from_secs(2);
/// Exit codes of a container that was told to end, or was killed: by the kubelet, or because it took too much memory.
const KILLED: [i32; 2] = [128 + 15, 128 + 9];
/// So many lines of the log of a server that ended are told, and so many bytes are read for them.
const LINES: i64 = 3;
const BYTES: i64 = 1 << 14;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub by: CaseId,
    pub container: String,
    /// Its uid.
    pod: String,
    /// When it ended, and how long it had run.
    at: Timestamp,
    ran: SignedDuration,
    /// How often it had been started again before.
    restarts: i32,
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

/// What a server was like before the first session of a test with it.
pub struct Before {
    restarts: i32,
    /// When that was, on the cluster's clock.
    at: Timestamp,
}

/// The right to send a server its first request.
pub type Turn = Option<OwnedMutexGuard<()>>;

impl Exits {
    fn servers(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a server is known to have ended at a request of this run.
    pub fn of(&self, server: &str) -> Option<Exit> {
        self.servers().get(server)?.exit.clone()
    }

    /// The same, after whoever is at the server's first request, or is finding out whether it ended.
    pub async fn settled(&self, server: &str) -> Option<Exit> {
        drop(self.turn(server).await);
        self.of(server)
    }

    /// Waits for whoever is at a server's first request: unless it is silent, it is then known whether the server ended at it.
    async fn turn(&self, server: &str) -> Turn {
        let Server { turn, question, .. } = self.servers().entry(server.to_owned()).or_default().clone();
        let turn = timeout(TURN, turn.lock_owned()).await.ok();
        drop(question.lock().await);
        turn
    }

    fn question(&self, server: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.servers().entry(server.to_owned()).or_default().question)
    }

    /// Notes an exit; returns the one that counts, which is the first.
    fn note(&self, server: &str, exit: Exit) -> Exit {
        self.servers().entry(server.to_owned()).or_default().exit.get_or_insert(exit).clone()
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

/// The right to begin a session; what the wait for it takes is put on the deadline.
///
/// # Errors
/// A request of another test ended the server.
pub async fn turn(site: &Site, deadline: &mut Instant) -> Result<Turn, Verdict> {
    let began = Instant::now();
    let turn = site.shared.exits.turn(site.server()).await;
    *deadline += began.elapsed();
    site.shared.exits.of(site.server()).map_or(Ok(turn), |exit| Err(exit.blocks(site.server())))
}

pub fn before(site: &Site, pod: &Pod) -> Before {
    let population = site.shared.watch.population().ok();
    let now = population.as_ref().and_then(|population| same(population, pod)).unwrap_or(pod);
    let restarts = container::named(now, &site.system.export.container).map_or(0, |view| view.restarts());
    Before { restarts, at: site.shared.cluster.now() }
}

/// What ended a session: the server, if that ended too.
///
/// # Errors
/// It ended at a request of another test.
pub async fn explain(site: &Site, pod: &Pod, before: &Before, trouble: Trouble) -> Result<Trouble, Verdict> {
    let Trouble { call, what: What::Ended(why) | What::Broken(why) } = &trouble else { return Ok(trouble) };
    if call == CONNECT {
        return Ok(trouble);
    }
    let question = site.shared.exits.question(site.server());
    let _question = question.lock().await;
    // A request that was not taken ended nothing: only one before it could have.
    let told = if why.contains("refused") { Duration::ZERO } else { TOLD + slack(site) };
    let Some(exit) = exit(site, pod, before, told).await else { return Ok(trouble) };
    let exit = site.shared.exits.note(site.server(), exit);
    if exit.by != site.id {
        return Err(exit.blocks(site.server()));
    }
    Ok(Trouble { what: What::Exited(Box::new(exit)), ..trouble })
}

/// How much longer than usual the kubelet may take to tell of a container's end.
pub fn slack(site: &Site) -> Duration {
    site.shared.cluster.load().0.min(TOLD) * SLOWER
}

/// Whether that is the end of a container that somebody's request ended, and nobody who manages it.
fn is_own(end: &ContainerStateTerminated, before: &Before) -> bool {
    let is_killed = KILLED.contains(&end.exit_code) || end.reason.as_deref() == Some("OOMKilled");
    !is_killed && at(end.finished_at.as_ref()) + BEHIND >= before.at
}

fn same<'a>(population: &'a Population, pod: &Pod) -> Option<&'a Pod> {
    population.pods.iter().find(|other| other.metadata.uid == pod.metadata.uid).map(AsRef::as_ref)
}

/// How a server ended since then at a request, if that is told in time.
async fn exit(site: &Site, pod: &Pod, before: &Before, told: Duration) -> Option<Exit> {
    let container = site.system.export.container.as_str();
    let (cluster, name, restarts) = (&site.shared.cluster, pod.name_any(), before.restarts);
    let ended = |population: &Population| {
        let view = container::named(same(population, pod)?, container)?;
        if view.running_since().is_some() && view.restarts() == restarts { None } else { view.end().cloned() }
    };
    let end = site.shared.until(site.server(), Instant::now() + told, ended).await.ok()??;
    let population = site.shared.watch.population().ok();
    let is_deleted = population.as_ref().and_then(|population| same(population, pod)).is_none_or(is_terminating);
    if is_deleted || !is_own(&end, before) {
        return None;
    }
    let again = |population: &Population| {
        let view = container::named(same(population, pod)?, container)?;
        (view.restarts() > restarts || view.is_stuck()).then(|| view.restarts() > restarts)
    };
    let is_again =
        matches!(site.shared.until(site.server(), Instant::now() + TOLD + slack(site), again).await, Ok(Some(true)));
    let log = if is_again {
        cluster.log_tail_before(&name, container, LINES, BYTES).await
    } else {
        cluster.log_tail(&name, container, LINES, BYTES).await
    };
    let unknown = |error| vec![format!("(its log is not known: {error})")];
    let said = log.map_or_else(unknown, |lines| lines.into_iter().map(|(_, line)| line).collect());
    let reason = end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Some(Exit {
        by: site.id.clone(),
        container: container.to_owned(),
        pod: pod.uid().unwrap_or_default(),
        at: at(end.finished_at.as_ref()),
        ran: at(end.finished_at.as_ref()).duration_since(at(end.started_at.as_ref())),
        restarts,
        how: format!("exit code {}{reason}", end.exit_code),
        said,
    })
}

fn at(time: Option<&Time>) -> Timestamp {
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
            is_own(&serde_json::from_value(end).unwrap(), &Before { restarts: 0, at })
        };
        let (now, before) = ("2026-11-21T03:00:10Z", "2026-11-21T03:00:07Z");
        assert!(is(1, "Error", now) && is(0, "Completed", now) && is(139, "Error", now), "139: it crashed");
        assert!(!is(1, "Error", before) && !is(137, "Error", now) && !is(143, "Error", now));
        assert!(!is(1, "OOMKilled", now));
    }

    #[tokio::test]
    async fn nobody_begins_while_it_is_found_out_whether_the_server_ended() {
        let exits = Exits::default();
        let question = exits.question("nas").lock_owned().await;
        let mut other = Box::pin(exits.turn("nas"));
        assert!(poll!(&mut other).is_pending());
        assert!(poll!(Box::pin(exits.turn("nas-2"))).is_ready());
        drop(question);
        assert!(other.await.is_some());
    }
}
