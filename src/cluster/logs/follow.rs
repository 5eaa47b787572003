//! Follows the log of a sidecar and keeps what it says of its cycles.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::cycle::{BACKLOG, CycleLog, SILENT};
use super::log::{next_line, stamped, whole_second};
use super::words::Words;
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, answered};
use crate::cluster::concurrency::ConcurrencyLimit;
use crate::cluster::deadline::ANSWER;

/// How much of the log's past is read: enough for the last two cycles of a sidecar with little to do.
const TAIL: i64 = 100;
const RETRY: Duration = Duration::from_millis(500);
/// How long a moment between two cycles is waited for: twice what a sidecar may be silent within one.
pub const QUIET: Duration = Duration::from_secs(2 * SILENT.as_secs());

/// A log that is being followed; the following ends when this is dropped.
pub struct Cycles {
    log: watch::Receiver<CycleLog>,
    task: JoinHandle<()>,
    concurrency: Arc<ConcurrencyLimit>,
}

impl Drop for Cycles {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cycles {
    pub fn log(&self) -> CycleLog {
        self.log.borrow().clone()
    }

    /// Waits until the log satisfies `condition`; `false` if it did not within the time.
    pub async fn wait_for(&self, limit: Instant, condition: impl FnMut(&CycleLog) -> bool) -> bool {
        let mut log = self.log.clone();
        matches!(tokio::time::timeout_at(limit, log.wait_for(condition)).await, Ok(Ok(_)))
    }

    /// The same as long as a cycle ends within each such time.
    pub async fn wait_while_cycles_end(
        &self,
        each: Duration,
        limit: Instant,
        mut condition: impl FnMut(&CycleLog) -> bool,
    ) -> bool {
        let last = |log: &CycleLog| log.moments().last();
        loop {
            let before = last(&self.log());
            let next = limit.min(Instant::now() + each);
            if !self.wait_for(next, |log| condition(log) || last(log) != before).await {
                return false;
            }
            if condition(&self.log()) {
                return true;
            }
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.log().is_quiet(Instant::now(), self.concurrency.lag())
    }

    /// Waits until a file can be removed without harm; `false` if no such moment was seen in time.
    pub async fn quiet(&self, limit: Instant) -> bool {
        loop {
            let log = self.log();
            let now = Instant::now();
            if log.is_quiet(now, self.concurrency.lag()) {
                return true;
            }
            let is_unreadable = log.opened.is_none() && log.trouble.is_some();
            if log.is_denied() || is_unreadable || now >= limit {
                return false;
            }
            // For a line, or for a silence that means something.
            let seen = (log.opened, log.last);
            self.wait_for(limit.min(now + BACKLOG), |log| (log.opened, log.last) != seen).await;
        }
    }
}

impl Cluster {
    /// Follows the log of a sidecar; `run` is in the names of this run's files.
    pub fn follow_cycles(&self, pod: &str, container: &str, words: Words, run: &str) -> Cycles {
        let (sender, log) = watch::channel(CycleLog::default());
        let (cluster, concurrency) = (self.clone(), Arc::clone(&self.concurrency));
        let (pod, container) = (pod.to_owned(), container.to_owned());
        let follower = Follower { cluster, pod, container, words, run: run.to_owned(), log: sender, newest: None };
        Cycles { log, task: tokio::spawn(follower.run().boxed()), concurrency }
    }
}

struct Follower {
    cluster: Cluster,
    pod: String,
    container: String,
    words: Words,
    run: String,
    log: watch::Sender<CycleLog>,
    newest: Option<Timestamp>,
}

impl Follower {
    async fn run(mut self) {
        // What a stream does not say, something on the way may hold up; an answer with an end it does not.
        let mut is_whole = false;
        loop {
            is_whole = match self.open(is_whole).await {
                Ok(()) => !is_whole,
                Err(error) => {
                    self.log.send_modify(|log| log.trouble = Some(error));
                    false
                }
            };
            // A stream may end early, by log rotation or a restart of the container.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Asks for what is not known yet: for all that there is, with an end, or for what comes, too; returns when nothing comes.
    async fn open(&mut self, is_whole: bool) -> Result<(), ApiError> {
        let params = LogParams {
            container: Some(self.container.clone()),
            follow: !is_whole,
            timestamps: true,
            tail_lines: self.newest.is_none().then_some(TAIL),
            since_time: self.newest.map(whole_second),
            ..LogParams::default()
        };
        let (pods, asked) = (self.cluster.pods(), Instant::now());
        let stream = answered("get", "pods/log", pods.log_stream(&self.pod, &params)).await?;
        let opened = Instant::now();
        self.log.send_modify(|log| {
            log.trouble = None;
            log.opened.get_or_insert(opened);
        });
        let mut stream = std::pin::pin!(stream);
        // `sinceTime` has a granularity of a second, so after a reconnection lines come twice.
        let mut known = self.newest;
        loop {
            let lag = self.cluster.concurrency.lag();
            let patience = if is_whole { ANSWER } else { self.log.borrow().patience(Instant::now(), lag) };
            let line = match timeout(patience, next_line(&mut stream)).await {
                Ok(Ok(Some(line))) => line,
                end => {
                    if is_whole && matches!(end, Ok(Ok(None))) {
                        self.log.send_modify(|log| log.heard = Some(asked));
                    }
                    return Ok(());
                }
            };
            let Some((stamp, text)) = stamped(&line) else { continue };
            if known.is_some_and(|known| stamp <= known) {
                continue;
            }
            known = None;
            self.newest = Some(stamp);
            let at = instant(stamp, self.cluster.now(), opened, lag);
            self.log.send_modify(|log| log.take(text, at, stamp, &self.words, &self.run));
        }
    }
}

/// When a line was written, on this machine's monotonic clock: of the backlog by its age, later ones as they come.
fn instant(stamp: Timestamp, cluster_now: Timestamp, opened: Instant, lag: Duration) -> Instant {
    let now = Instant::now();
    let age = Duration::try_from(cluster_now.duration_since(stamp)).unwrap_or_default();
    if opened.elapsed() < BACKLOG.max(lag) { now.checked_sub(age).unwrap_or(now) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_backlog_is_as_old_as_its_stamp_and_a_later_one_is_new() {
        let (clock, age) = (Timestamp::now(), Duration::from_secs(20));
        let old = instant(clock - age, clock, Instant::now(), Duration::ZERO);
        assert!(old.elapsed() >= age);
        let before = Instant::now().checked_sub(2 * BACKLOG).unwrap();
        let live = instant(clock - age, clock, before, Duration::ZERO);
        assert!(live.elapsed() < age);
        assert!(instant(clock - age, clock, before, 3 * BACKLOG).elapsed() >= age, "a slow node's backlog comes late");
    }
}
