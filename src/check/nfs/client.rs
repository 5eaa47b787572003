//! This program as a client of one server: it connects, waits for its turn, finds out what ended a session, and whether another
//! one may go further, because the way may have broken and not the server.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, sleep};

use super::access;
use super::session::Session;
use super::trouble::{Halt, Trouble, What};
use super::unserved::Unserved;
use super::way::Way;
use crate::check::Site;
use crate::check::exits::{self, Exit, is_own};
use crate::cluster::container;
use crate::cluster::server::is_terminating;
use crate::cluster::{Population, ResourceExt};
use crate::event::{Reason, Verdict};

/// The pause before a connection that was not taken, or ended, is made again: there is no event for a port that opens.
const PAUSE: Duration = Duration::from_millis(200);
/// In so many sessions a server may answer and not come to the end.
const SESSIONS: u32 = 2;
/// How long it may take until the kubelet tells that a container ended: 1.3 s were seen on a node that is quick.
const TOLD: Duration = Duration::from_secs(4);
/// On one that is slow, so many times longer by what the slowest command took, which counts as no more than the above.
const SLOWER: u32 = 3;
/// So many lines of the log of a server that ended are told, and so many bytes are read for them.
const LINES: i64 = 3;
const BYTES: i64 = 1 << 14;

pub struct Client<'a> {
    site: &'a Site,
    pod: &'a Pod,
    way: Way,
    /// Each call is answered within this time.
    within: Duration,
    /// When the first session could begin, on the cluster's clock, and how often the server had been started again by then.
    since: Timestamp,
    restarts: i32,
    /// When no other session begins any more.
    deadline: Instant,
    /// In how many sessions the server has answered.
    pub served: u32,
    /// How many calls it answered in the last one.
    pub answered: u32,
}

impl<'a> Client<'a> {
    pub fn new(site: &'a Site, pod: &'a Pod, way: Way, within: Duration) -> Self {
        let population = site.shared.watch.population().ok();
        let now = population.as_ref().and_then(|population| same(population, pod)).unwrap_or(pod);
        let restarts = container::named(now, &site.system.export.container).map_or(0, |view| view.restarts());
        let deadline = Instant::now() + within + slack(site);
        let since = site.shared.cluster.now();
        Self { site, pod, way, within, since, restarts, deadline, served: 0, answered: 0 }
    }

    /// The server, for messages.
    pub fn object(&self) -> String {
        self.way.object(self.pod)
    }

    /// A session, when it is the test's turn; what waiting for that takes is put on the deadline.
    ///
    /// # Errors
    /// The server takes no connection in time. The API makes no port-forward, or a request of another test ended the server:
    /// then nothing is known.
    pub async fn session(&mut self) -> Result<Session, Halt> {
        loop {
            match self.way.connect(self.site, self.pod, self.deadline).await {
                Ok(connection) => {
                    let (exits, server, began) = (&self.site.shared.exits, self.site.server(), Instant::now());
                    let turn = exits.turn(server).await;
                    self.deadline += began.elapsed();
                    let exit = exits.of(server).map_or(Ok(()), |exit| Err(exit.blocks(server)));
                    return exit.map_err(Halt::from).map(|()| Session::new(connection, self.within, turn));
                }
                Err(halt) => {
                    self.answered = 0;
                    self.again(halt.judged()?).await?;
                }
            }
        }
    }

    /// What came of a session; `None` if it broke off, and another one may go further, as none may after the last.
    ///
    /// # Errors
    /// What broke it off, if none may go further; or the server ended at a request of another test.
    pub async fn ended<T>(
        &mut self,
        mut session: Session,
        end: Result<T, Halt>,
        is_last: bool,
    ) -> Result<Option<T>, Halt> {
        self.answered = session.answered;
        let trouble = match end {
            Ok(done) => return Ok(Some(done)),
            Err(halt) => halt.judged()?,
        };
        self.deadline += session.paused;
        self.served += u32::from(session.answered > 0);
        // Nobody else begins until it is known whether the server ended.
        let turn = session.turn.take();
        let trouble = self.explained(session.explain(trouble).await).await?;
        drop(turn);
        if is_last {
            return Err(trouble.into());
        }
        self.again(trouble).await.map(|()| None)
    }

    /// Returns after a pause if another session may go further.
    async fn again(&self, trouble: Trouble) -> Result<(), Halt> {
        if !is_passing(&trouble, self.served) || Instant::now() + PAUSE >= self.deadline {
            return Err(trouble.into());
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// What ended a session: the server, if that ended too.
    ///
    /// # Errors
    /// It ended at a request of another test.
    async fn explained(&self, trouble: Trouble) -> Result<Trouble, Verdict> {
        let (What::Ended(why) | What::Broken(why)) = &trouble.what else { return Ok(trouble) };
        let (exits, server) = (&self.site.shared.exits, self.site.server());
        let _question = exits.question(server).await;
        // A request that was not taken ended nothing: only one before it could have.
        let told = if why.contains("refused") { Duration::ZERO } else { TOLD + slack(self.site) };
        let Some(exit) = self.exit(told).await else { return Ok(trouble) };
        let exit = exits.note(server, exit);
        if exit.by != self.site.id {
            return Err(exit.blocks(server));
        }
        Ok(Trouble { what: What::Exited(Box::new(exit)), ..trouble })
    }

    /// How the server ended since the first session at a request, if that is told in time.
    async fn exit(&self, told: Duration) -> Option<Exit> {
        let Self { site, pod, restarts, .. } = *self;
        let (shared, name, container) = (&site.shared, pod.name_any(), site.system.export.container.as_str());
        let ended = |population: &Population| {
            let view = container::named(same(population, pod)?, container)?;
            if view.running_since().is_some() && view.restarts() == restarts { None } else { view.end().cloned() }
        };
        let end = shared.until(site.server(), Instant::now() + told, ended).await.ok()??;
        let population = shared.watch.population().ok();
        let is_deleted = population.as_ref().and_then(|population| same(population, pod)).is_none_or(is_terminating);
        if is_deleted || !is_own(&end, self.since) {
            return None;
        }
        let again = |population: &Population| {
            let view = container::named(same(population, pod)?, container)?;
            (view.restarts() > restarts || view.is_stuck()).then(|| view.restarts() > restarts)
        };
        let is_again = shared.until(site.server(), Instant::now() + TOLD + slack(site), again).await;
        let log = if let Ok(Some(true)) = is_again {
            shared.cluster.log_tail_before(&name, container, LINES, BYTES).await
        } else {
            shared.cluster.log_tail(&name, container, LINES, BYTES).await
        };
        let unknown = |error| vec![format!("(its log is not known: {error})")];
        let said = log.map_or_else(unknown, |lines| lines.into_iter().map(|(_, line)| line).collect());
        let [started, at] = [&end.started_at, &end.finished_at].map(|time| exits::at(time.as_ref()));
        let reason = end.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(Exit {
            by: site.id.clone(),
            container: container.to_owned(),
            pod: pod.uid().unwrap_or_default(),
            at,
            ran: at.duration_since(started),
            restarts,
            how: format!("exit code {}{reason}", end.exit_code),
            said,
        })
    }

    /// What is known of a server that served no session to its end.
    ///
    /// # Errors
    /// It was not the server that ended the connection, or the node does not do what it is asked.
    pub async fn unserved(&self, trouble: Trouble) -> Result<Unserved, Verdict> {
        let (mut live, mut others) = (None, Vec::new());
        match &trouble.what {
            // Nobody can look: the container has just ended.
            What::Exited(_) => {}
            What::Broken(why) => {
                let object = format!("cluster {}", self.site.shared.cluster.context());
                let reason = Reason::new(object, "to forward a port of the pod", why);
                return Err(Verdict::error(reason.hint("try kubectl port-forward; look at the node's kubelet")));
            }
            what => {
                live = access::live(self.site, self.pod).await?;
                if let What::Unreachable(_) = what {
                    others = self.way.answering(self.site).await?;
                }
            }
        }
        Ok(Unserved { object: self.object(), trouble, answered: self.answered, live, others })
    }
}

/// Whether it may have been the way, and not the server.
fn is_passing(trouble: &Trouble, served: u32) -> bool {
    let is_end = matches!(trouble.what, What::Ended(_) | What::Broken(_) | What::Unreachable(_));
    is_end && served < SESSIONS
}

/// How much longer than usual the kubelet may take to tell of a container's end.
fn slack(site: &Site) -> Duration {
    site.shared.cluster.load().0.min(TOLD) * SLOWER
}

/// A pod as it is now.
fn same<'a>(population: &'a Population, pod: &Pod) -> Option<&'a Pod> {
    population.pods.iter().find(|other| other.metadata.uid == pod.metadata.uid).map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_end_after_an_answer_is_the_servers() {
        let is = |what: What, served: u32| is_passing(&Trouble { call: "FSINFO".to_owned(), what }, served);
        let ended = || What::Ended("early eof".to_owned());
        assert!(is(ended(), 0) && is(ended(), 1) && !is(ended(), 2));
        assert!(!is(What::Silent, 0) && !is(What::Refused("NFS3ERR_IO".to_owned()), 0));
    }
}
