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
use crate::cluster::{Population, ResourceExt};
use crate::event::{CaseId, Reason, Verdict};

/// How long a session waits for its turn: one with a silent server takes longer, and ends no server.
const TURN: Duration = Duration::from_secs(10);
/// How long it may take until the kubelet tells that a container ended: 1.3 s were seen.
const TOLD: Duration = Duration::from_secs(4);
/// So many lines of the log of a server that ended are told, and so many bytes are read for them.
const LINES: i64 = 3;
const BYTES: i64 = 1 << 14;

/// A server that ended at a request of this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The test whose request it was.
    pub by: CaseId,
    /// Its container.
    pub container: String,
    /// Its pod's uid.
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

/// What is known of the servers of a run.
#[derive(Default)]
pub struct Exits(Mutex<HashMap<String, Server>>);

#[derive(Default)]
struct Server {
    turn: Arc<tokio::sync::Mutex<()>>,
    exit: Option<Exit>,
}

/// The right to send a server its first request.
pub type Turn = Option<OwnedMutexGuard<()>>;

impl Exits {
    fn servers(&self) -> MutexGuard<'_, HashMap<String, Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a server ended at a request of this run; `None` if it did not.
    pub fn of(&self, server: &str) -> Option<Exit> {
        self.servers().get(server)?.exit.clone()
    }

    /// Waits for whoever is at a server's first request: unless it is silent, it is then known whether the server ended at it.
    pub async fn turn(&self, server: &str) -> Turn {
        let turn = Arc::clone(&self.servers().entry(server.to_owned()).or_default().turn);
        timeout(TURN, turn.lock_owned()).await.ok()
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

/// The right to begin a session.
///
/// # Errors
/// A request of another test ended the server.
pub async fn turn(site: &Site) -> Result<Turn, Verdict> {
    let turn = site.shared.exits.turn(site.server()).await;
    site.shared.exits.of(site.server()).map_or(Ok(turn), |exit| Err(exit.blocks(site.server())))
}

/// How often a container of the pod was started again by now.
pub fn restarts(site: &Site, pod: &Pod, container: &str) -> i32 {
    let population = site.shared.watch.population().ok();
    let now = population.as_ref().and_then(|population| same(population, pod)).unwrap_or(pod);
    container::named(now, container).map_or(0, |view| view.restarts())
}

/// What ended a session that began after so many restarts: the server, if that ended too.
///
/// # Errors
/// It ended at a request of another test.
pub async fn explain(
    site: &Site,
    pod: &Pod,
    container: &str,
    restarts: i32,
    trouble: Trouble,
) -> Result<Trouble, Verdict> {
    let Trouble { call, what: What::Ended(_) | What::Broken(_) } = &trouble else { return Ok(trouble) };
    if call == CONNECT {
        return Ok(trouble);
    }
    let ended = |population: &Population| {
        let view = container::named(same(population, pod)?, container)?;
        if view.running_since().is_some() && view.restarts() == restarts { None } else { view.end().cloned() }
    };
    let Ok(Some(end)) = site.shared.until(Instant::now() + TOLD, ended).await else { return Ok(trouble) };
    let again = |population: &Population| {
        let view = container::named(same(population, pod)?, container)?;
        (view.restarts() > restarts || view.is_stuck()).then(|| view.restarts() > restarts)
    };
    let is_again = matches!(site.shared.until(Instant::now() + TOLD, again).await, Ok(Some(true)));
    let exit = site.shared.exits.note(site.server(), exit(site, pod, container, restarts, &end, is_again).await);
    if exit.by != site.id {
        return Err(exit.blocks(site.server()));
    }
    Ok(Trouble { what: What::Exited(Box::new(exit)), ..trouble })
}

fn same<'a>(population: &'a Population, pod: &Pod) -> Option<&'a Pod> {
    population.pods.iter().find(|other| other.metadata.uid == pod.metadata.uid).map(AsRef::as_ref)
}

/// What is to be told of a server that ended, and runs again or not.
async fn exit(
    site: &Site,
    pod: &Pod,
    container: &str,
    restarts: i32,
    end: &ContainerStateTerminated,
    is_again: bool,
) -> Exit {
    let (cluster, name) = (&site.shared.cluster, pod.name_any());
    let log = if is_again {
        cluster.log_tail_before(&name, container, LINES, BYTES).await
    } else {
        cluster.log_tail(&name, container, LINES, BYTES).await
    };
    let unknown = |error| vec![format!("(its log is not known: {error})")];
    let said = log.map_or_else(unknown, |lines| lines.into_iter().map(|(_, line)| line).collect());
    let reason = end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    Exit {
        by: site.id.clone(),
        container: container.to_owned(),
        pod: pod.uid().unwrap_or_default(),
        at: at(end.finished_at.as_ref()),
        ran: at(end.finished_at.as_ref()).duration_since(at(end.started_at.as_ref())),
        restarts,
        how: format!("exit code {}{reason}", end.exit_code),
        said,
    }
}

fn at(time: Option<&Time>) -> Timestamp {
    time.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}
