//! A client of one server: it connects, waits for its turn, finds out what ended a session, and decides whether to
//! retry, because the route may have failed and not the server.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, sleep};

use super::access;
use super::failed_session::FailedSession;
use super::failure::{Abort, Cause, Failure};
use super::route::Route;
use super::session::Session;
use crate::check::Site;
use crate::check::server_exits::{self, ServerExit, exited_by_itself};
use crate::cluster::container;
use crate::cluster::server::is_terminating;
use crate::cluster::{ResourceExt, Snapshot};
use crate::event::{Reason, Verdict};

/// The pause before a retry: no event reports that a port opens.
const PAUSE: Duration = Duration::from_millis(200);
/// After so many broken sessions in which the server replied, the server is to blame.
const ANSWERED_SESSIONS: u32 = 2;
/// How long the kubelet may take to report that a container exited: 1.3 s were seen on a fast node.
const EXIT_DELAY: Duration = Duration::from_secs(4);
/// On a slow node it may take longer, by this multiple of the slowest command's time.
const SLOW_NODE_FACTOR: u32 = 3;
/// How much to report of the log of a server that exited, and how much to fetch for that.
const LOG_LINES: i64 = 3;
const LOG_BYTES: i64 = 1 << 14;

pub struct Client<'a> {
    site: &'a Site,
    pod: &'a Pod,
    route: Route,
    /// How long a call may take.
    within: Duration,
    /// The cluster's time before the first session, and the server's restart count then.
    since: Timestamp,
    restarts: i32,
    /// No session begins after this.
    deadline: Instant,
    /// In how many broken sessions the server replied.
    pub broken: u32,
    /// How many calls got a reply in the last session.
    pub answered: u32,
}

impl<'a> Client<'a> {
    pub fn new(site: &'a Site, pod: &'a Pod, route: Route, within: Duration) -> Self {
        let snapshot = site.shared.watch.snapshot().ok();
        let now = snapshot.as_ref().and_then(|snapshot| current(snapshot, pod)).unwrap_or(pod);
        let restarts = container::named(now, &site.system.export.container).map_or(0, |view| view.restarts());
        let deadline = Instant::now() + within + slack(site);
        let since = site.shared.cluster.now();
        Self { site, pod, route, within, since, restarts, deadline, broken: 0, answered: 0 }
    }

    pub fn object(&self) -> String {
        self.route.object(self.pod)
    }

    /// Connects and waits for the test's turn, which does not count towards the deadline.
    /// Errors: the server accepts no connection in time. Inconclusive if the API server makes no port-forward, or a
    /// request of another test ended the server.
    pub async fn connect(&mut self) -> Result<Session, Abort> {
        loop {
            match self.route.connect(self.site, self.pod, self.deadline).await {
                Ok(connection) => {
                    let (exits, server, began) = (&self.site.shared.exits, self.site.server(), Instant::now());
                    let turn = exits.turn(server).await;
                    self.deadline += began.elapsed();
                    let exit = exits.of(server).map_or(Ok(()), |exit| Err(exit.blocks(server)));
                    return exit.map_err(Abort::from).map(|()| Session::new(connection, self.within, turn));
                }
                Err(abort) => {
                    self.answered = 0;
                    self.pause_or_fail(abort.into_failed()?).await?;
                }
            }
        }
    }

    /// The result of a session; `None` if it broke and the caller may retry in another one, unless this is the last.
    /// Errors: what broke the session, if no retry can help. Inconclusive if a request of another test ended the server.
    pub async fn finish<T>(
        &mut self,
        mut session: Session,
        result: Result<T, Abort>,
        is_last: bool,
    ) -> Result<Option<T>, Abort> {
        self.answered = session.answered;
        let failure = match result {
            Ok(done) => return Ok(Some(done)),
            Err(abort) => abort.into_failed()?,
        };
        self.deadline += session.paused;
        self.broken += u32::from(session.answered > 0);
        // Held so that no other session begins before it is clear whether the server exited.
        let turn = session.turn.take();
        let failure = self.attribute(session.explain(failure).await).await?;
        drop(turn);
        if is_last {
            return Err(failure.into());
        }
        self.pause_or_fail(failure).await.map(|()| None)
    }

    async fn pause_or_fail(&self, failure: Failure) -> Result<(), Abort> {
        if !is_transient(&failure, self.broken) || Instant::now() + PAUSE >= self.deadline {
            return Err(failure.into());
        }
        sleep(PAUSE).await;
        Ok(())
    }

    /// Attributes the failure to the server's exit if the server exited.
    /// Errors: the server exited at a request of another test.
    async fn attribute(&self, failure: Failure) -> Result<Failure, Verdict> {
        let (Cause::Ended(why) | Cause::Broken(why)) = &failure.cause else { return Ok(failure) };
        let (exits, server) = (&self.site.shared.exits, self.site.server());
        let _investigation = exits.investigate(server).await;
        // A refused request cannot have ended the server: only an earlier one can.
        let delay = if why.contains("refused") { Duration::ZERO } else { EXIT_DELAY + slack(self.site) };
        let Some(exit) = self.exit(delay).await else { return Ok(failure) };
        let exit = exits.note(server, exit);
        if exit.by != self.site.id {
            return Err(exit.blocks(server));
        }
        Ok(Failure { cause: Cause::Exited(Box::new(exit)), ..failure })
    }

    /// How the server exited since the first session, if a request ended it and the kubelet reports it within this
    /// delay.
    async fn exit(&self, delay: Duration) -> Option<ServerExit> {
        let Self { site, pod, restarts, .. } = *self;
        let (shared, name, container) = (&site.shared, pod.name_any(), site.system.export.container.as_str());
        let ended = |snapshot: &Snapshot| {
            let view = container::named(current(snapshot, pod)?, container)?;
            if view.running_since().is_some() && view.restarts() == restarts {
                None
            } else {
                view.last_termination().cloned()
            }
        };
        let end = shared.until(site.server(), Instant::now() + delay, ended).await.ok()??;
        let snapshot = shared.watch.snapshot().ok();
        let is_deleted = snapshot.as_ref().and_then(|snapshot| current(snapshot, pod)).is_none_or(is_terminating);
        if is_deleted || !exited_by_itself(&end, self.since) {
            return None;
        }
        let restarted = |snapshot: &Snapshot| {
            let view = container::named(current(snapshot, pod)?, container)?;
            (view.restarts() > restarts || view.is_stuck()).then(|| view.restarts() > restarts)
        };
        let has_restarted = shared.until(site.server(), Instant::now() + EXIT_DELAY + slack(site), restarted).await;
        let log = if let Ok(Some(true)) = has_restarted {
            shared.cluster.previous_log_tail(&name, container, LOG_LINES, LOG_BYTES).await
        } else {
            shared.cluster.log_tail(&name, container, LOG_LINES, LOG_BYTES).await
        };
        let unreadable = |error| vec![format!("(cannot read its log: {error})")];
        let log = log.map_or_else(unreadable, |lines| lines.into_iter().map(|(_, line)| line).collect());
        let [started, at] = [&end.started_at, &end.finished_at].map(|time| server_exits::at(time.as_ref()));
        let reason = end.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(ServerExit {
            by: site.id.clone(),
            container: container.to_owned(),
            pod: pod.uid().unwrap_or_default(),
            at,
            ran: at.duration_since(started),
            restarts,
            how: format!("exit code {}{reason}", end.exit_code),
            log,
        })
    }

    /// Gathers the evidence for a failure: the export's live options, and whether other servers' NodePorts reply.
    /// Errors: the port-forward failed and not the server, or the evidence cannot be gathered.
    pub async fn failed_session(&self, failure: Failure) -> Result<FailedSession, Verdict> {
        let (mut live, mut others) = (None, Vec::new());
        match &failure.cause {
            // The container has just exited, so no command can read the options.
            Cause::Exited(_) => {}
            Cause::Broken(why) => {
                let object = format!("cluster {}", self.site.shared.cluster.context());
                let reason = Reason::new(object, "a port-forward to the pod", why);
                return Err(Verdict::error(
                    reason.hint("try kubectl port-forward; read the log of the node's kubelet"),
                ));
            }
            cause => {
                live = access::live_options(self.site, self.pod).await?;
                if let Cause::Unreachable(_) = cause {
                    others = self.route.responding_ports(self.site).await?;
                }
            }
        }
        Ok(FailedSession { object: self.object(), failure, answered: self.answered, live, others })
    }
}

/// Whether the route may have failed, and not the server.
fn is_transient(failure: &Failure, broken: u32) -> bool {
    let is_end = matches!(failure.cause, Cause::Ended(_) | Cause::Broken(_) | Cause::Unreachable(_));
    is_end && broken < ANSWERED_SESSIONS
}

/// How much longer than usual the kubelet may take to report that a container exited.
fn slack(site: &Site) -> Duration {
    site.shared.cluster.load().0.min(EXIT_DELAY) * SLOW_NODE_FACTOR
}

fn current<'a>(snapshot: &'a Snapshot, pod: &Pod) -> Option<&'a Pod> {
    snapshot.pods.iter().find(|other| other.metadata.uid == pod.metadata.uid).map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_broken_session_may_be_the_routes_fault() {
        let is = |cause: Cause, broken: u32| is_transient(&Failure { call: "FSINFO".to_owned(), cause }, broken);
        let ended = || Cause::Ended("early eof".to_owned());
        assert!(is(ended(), 0) && is(ended(), 1) && !is(ended(), 2));
        assert!(!is(Cause::Silent, 0) && !is(Cause::Refused("NFS3ERR_IO".to_owned()), 0));
    }
}
