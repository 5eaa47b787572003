//! Follows the log of a sidecar and keeps track of its cycles.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::log::{next_line, stamped, whole_second};
use super::log_state::{BACKLOG, LogState, MAX_SILENCE};
use super::patterns::LogPatterns;
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, with_deadline};
use crate::cluster::concurrency::ConcurrencyLimit;
use crate::cluster::deadline::REPLY_TIMEOUT;

/// How many past lines to read: enough for the last two cycles of a sidecar with little to do.
const TAIL: i64 = 100;
const RETRY: Duration = Duration::from_millis(500);
/// How long to wait for a pause between two cycles: twice as long as a sidecar may be silent within a cycle.
pub const PAUSE_TIMEOUT: Duration = Duration::from_secs(2 * MAX_SILENCE.as_secs());

/// A followed log; stops following when dropped.
pub struct FollowedLog {
    log: watch::Receiver<LogState>,
    task: JoinHandle<()>,
    concurrency: Arc<ConcurrencyLimit>,
}

impl Drop for FollowedLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FollowedLog {
    pub fn state(&self) -> LogState {
        self.log.borrow().clone()
    }

    /// Waits until the log satisfies `condition`; `false` on timeout.
    pub async fn wait_for(&self, deadline: Instant, condition: impl FnMut(&LogState) -> bool) -> bool {
        let mut log = self.log.clone();
        matches!(tokio::time::timeout_at(deadline, log.wait_for(condition)).await, Ok(Ok(_)))
    }

    /// Like [`wait_for`](Self::wait_for), but gives up early if no cycle ends within `cycle_timeout`.
    pub async fn wait_while_cycles_end(
        &self,
        cycle_timeout: Duration,
        deadline: Instant,
        mut condition: impl FnMut(&LogState) -> bool,
    ) -> bool {
        let last = |log: &LogState| log.cycle_ends().last();
        loop {
            let before = last(&self.state());
            let next = deadline.min(Instant::now() + cycle_timeout);
            if !self.wait_for(next, |log| condition(log) || last(log) != before).await {
                return false;
            }
            if condition(&self.state()) {
                return true;
            }
        }
    }

    pub fn is_pausing(&self) -> bool {
        self.state().is_pausing(Instant::now(), self.concurrency.lag())
    }

    /// Waits for a pause between two cycles, in which files can be removed safely; `false` if there was none in time.
    pub async fn wait_for_pause(&self, deadline: Instant) -> bool {
        loop {
            let log = self.state();
            let now = Instant::now();
            if log.is_pausing(now, self.concurrency.lag()) {
                return true;
            }
            let is_unreadable = log.opened.is_none() && log.error.is_some();
            if log.is_denied() || is_unreadable || now >= deadline {
                return false;
            }
            // Until the next line, but not for long: silence may mean a pause, too.
            let seen = (log.opened, log.last_line);
            self.wait_for(deadline.min(now + BACKLOG), |log| (log.opened, log.last_line) != seen).await;
        }
    }
}

impl Cluster {
    /// Follows the log of a sidecar; `run` is a part of the names of this run's files.
    pub fn follow_log(&self, pod: &str, container: &str, patterns: LogPatterns, run: &str) -> FollowedLog {
        let (sender, log) = watch::channel(LogState::default());
        let (cluster, concurrency) = (self.clone(), Arc::clone(&self.concurrency));
        let (pod, container) = (pod.to_owned(), container.to_owned());
        let follower = Follower { cluster, pod, container, patterns, run: run.to_owned(), log: sender, newest: None };
        FollowedLog { log, task: tokio::spawn(follower.run().boxed()), concurrency }
    }
}

struct Follower {
    cluster: Cluster,
    pod: String,
    container: String,
    patterns: LogPatterns,
    run: String,
    log: watch::Sender<LogState>,
    newest: Option<Timestamp>,
}

impl Follower {
    async fn run(mut self) {
        // Something on the way may mute a stream, but not a response that ends: after too long a silence, fetch once.
        let mut is_fetch = false;
        loop {
            is_fetch = match self.read(is_fetch).await {
                Ok(()) => !is_fetch,
                Err(error) => {
                    self.log.send_modify(|log| log.error = Some(error));
                    false
                }
            };
            // A stream also ends by log rotation or a restart of the container.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Fetches the lines after the newest known one, or follows the log until it is silent for too long.
    async fn read(&mut self, is_fetch: bool) -> Result<(), ApiError> {
        let params = LogParams {
            container: Some(self.container.clone()),
            follow: !is_fetch,
            timestamps: true,
            tail_lines: self.newest.is_none().then_some(TAIL),
            since_time: self.newest.map(whole_second),
            ..LogParams::default()
        };
        let (pods, sent) = (self.cluster.pods(), Instant::now());
        let stream = with_deadline("get", "pods/log", pods.log_stream(&self.pod, &params)).await?;
        let opened = Instant::now();
        self.log.send_modify(|log| {
            log.error = None;
            log.opened.get_or_insert(opened);
        });
        let mut stream = std::pin::pin!(stream);
        // `sinceTime` has whole seconds, so known lines are sent again.
        let mut known = self.newest;
        loop {
            let lag = self.cluster.concurrency.lag();
            let max_silence =
                if is_fetch { REPLY_TIMEOUT } else { self.log.borrow().silence_limit(Instant::now(), lag) };
            let line = match timeout(max_silence, next_line(&mut stream)).await {
                Ok(Ok(Some(line))) => line,
                end => {
                    if is_fetch && matches!(end, Ok(Ok(None))) {
                        self.log.send_modify(|log| log.fetched = Some(sent));
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
            self.log.send_modify(|log| log.push(text, at, stamp, &self.patterns, &self.run));
        }
    }
}

/// When a line was written, on this machine's monotonic clock: by its age in the backlog, by its arrival later.
fn instant(stamp: Timestamp, cluster_now: Timestamp, opened: Instant, lag: Duration) -> Instant {
    let now = Instant::now();
    let age = Duration::try_from(cluster_now.duration_since(stamp)).unwrap_or_default();
    if opened.elapsed() < BACKLOG.max(lag) { now.checked_sub(age).unwrap_or(now) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backlog_lines_are_dated_by_their_stamps_and_later_ones_by_their_arrival() {
        let (clock, age) = (Timestamp::now(), Duration::from_secs(20));
        let old = instant(clock - age, clock, Instant::now(), Duration::ZERO);
        assert!(old.elapsed() >= age);
        let before = Instant::now().checked_sub(2 * BACKLOG).unwrap();
        let live = instant(clock - age, clock, before, Duration::ZERO);
        assert!(live.elapsed() < age);
        assert!(
            instant(clock - age, clock, before, 3 * BACKLOG).elapsed() >= age,
            "a slow node sends its backlog late"
        );
    }
}
