//! The sync cycle of a sidecar as its log tells it: when cycles ended, and how far they are apart.
//!
//! Ages come from the log's own timestamps; for lines that arrive live, from this machine's monotonic clock.

use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use regex::Regex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ApiError, Cluster, answered};

/// How much of the log's past is read: enough for the last two cycles of a sidecar with little to do.
const TAIL: i64 = 100;
/// What is longer than this of a line is cut off.
const LONGEST_LINE: usize = 1 << 16;
/// A line younger than this arrived live.
const LIVE: Duration = Duration::from_secs(2);
/// The pause before a log stream that ended is opened again.
const RETRY: Duration = Duration::from_millis(500);
/// A file is not removed from an export when the next cycle is nearer than this, because a file that vanishes under
/// a running rsync makes it exit with 24, which ends a sidecar that runs under `set -e` (observed: 23 of 117 cycles).
const GUARD: Duration = Duration::from_secs(2);

/// What is known of a sidecar's cycles.
#[derive(Debug, Clone, Default)]
pub struct CycleLog {
    /// When the last cycles ended, oldest first; the newest 16.
    ends: Vec<(Instant, Timestamp)>,
    /// Lines that mention this run's files.
    marked: Vec<(String, Timestamp)>,
    /// Cycles that ended since the log was opened, the past included.
    ended: usize,
    /// Why the log cannot be read.
    pub trouble: Option<ApiError>,
}

impl CycleLog {
    /// Whether the log listed a file of that name as copied.
    pub fn listed(&self, name: &str) -> bool {
        self.listed_at(name).is_some()
    }

    /// Whether the cycle has ended that brought the file of that name, which was noticed at `noticed`.
    pub fn ended_after(&self, name: &str, noticed: Instant) -> bool {
        match self.listed_at(name) {
            Some(listed) => self.ends.iter().any(|(_, stamp)| *stamp > listed),
            // rsync without -v lists nothing.
            None => self.ends.iter().any(|(at, _)| *at >= noticed),
        }
    }

    fn listed_at(&self, name: &str) -> Option<Timestamp> {
        self.marked.iter().find(|(line, _)| line.contains(name)).map(|(_, stamp)| *stamp)
    }

    /// How long until the next cycle is due; `None` if unknown. Zero if it is overdue.
    pub fn next_in(&self, now: Instant) -> Option<Duration> {
        let [.., (_, before), (last, stamp)] = self.ends.as_slice() else { return None };
        let interval = Duration::try_from(stamp.duration_since(*before)).ok()?;
        Some((*last + interval).saturating_duration_since(now))
    }

    /// Whether a file can be removed from the export now without vanishing under a running rsync.
    fn is_quiet(&self, now: Instant) -> bool {
        match self.ends.last() {
            // No cycle ever ended: nothing is being copied.
            None => true,
            Some((last, _)) if now.saturating_duration_since(*last) < Duration::from_secs(1) => true,
            Some(_) => self.next_in(now).is_some_and(|left| left > GUARD),
        }
    }
}

/// A log that is being followed; the following ends when this is dropped.
pub struct Cycles {
    log: watch::Receiver<CycleLog>,
    task: JoinHandle<()>,
}

impl Drop for Cycles {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Cycles {
    /// What is known now.
    pub fn log(&self) -> CycleLog {
        self.log.borrow().clone()
    }

    /// Waits until the log satisfies `condition`; `false` if it did not within the time.
    pub async fn wait_for(&self, limit: Instant, condition: impl FnMut(&CycleLog) -> bool) -> bool {
        let mut log = self.log.clone();
        matches!(tokio::time::timeout_at(limit, log.wait_for(condition)).await, Ok(Ok(_)))
    }

    /// Waits until a file can be removed from the export without harm, at most for one cycle and a little more.
    pub async fn quiet(&self, longest: Duration) {
        let now = Instant::now();
        let log = self.log();
        if log.is_quiet(now) || log.trouble.is_some() {
            return;
        }
        let limit = now + log.next_in(now).unwrap_or(longest) + GUARD;
        let ended = log.ended;
        self.wait_for(limit, |log| log.ended > ended).await;
    }
}

/// Starts to follow the log of a container; lines that contain `marks` are kept.
pub(super) fn follow(cluster: Cluster, pod: String, container: String, cycle_end: Regex, marks: String) -> Cycles {
    let (sender, log) = watch::channel(CycleLog::default());
    let task = tokio::spawn(async move {
        let mut newest: Option<Timestamp> = None;
        loop {
            let params = LogParams {
                container: Some(container.clone()),
                follow: true,
                timestamps: true,
                tail_lines: newest.is_none().then_some(TAIL),
                since_time: newest,
                ..LogParams::default()
            };
            let pods = cluster.pods();
            match answered("get", "pods/log", pods.log_stream(&pod, &params)).await {
                Err(error) => {
                    sender.send_modify(|log| log.trouble = Some(error));
                }
                Ok(stream) => {
                    sender.send_modify(|log| log.trouble = None);
                    let mut stream = std::pin::pin!(stream);
                    while let Ok(Some(line)) = next_line(&mut stream).await {
                        take(&sender, &mut newest, &line, &cycle_end, &marks, cluster.now());
                    }
                }
            }
            // A stream may end early, by log rotation or a restart of the container.
            tokio::time::sleep(RETRY).await;
        }
    });
    Cycles { log, task }
}

/// The next line without its end, cut at [`LONGEST_LINE`] and whatever its bytes are; `None` at the end of the stream.
async fn next_line(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let chunk = stream.fill_buf().await?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&part[..part.len().min(LONGEST_LINE - line.len())]);
        let (consumed, is_over) = (part.len() + usize::from(end.is_some()), chunk.is_empty());
        stream.consume_unpin(consumed);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
        if is_over {
            return Ok(None);
        }
    }
}

/// Takes in one line with its timestamp.
fn take(
    sender: &watch::Sender<CycleLog>,
    newest: &mut Option<Timestamp>,
    line: &str,
    cycle_end: &Regex,
    marks: &str,
    cluster_now: Timestamp,
) {
    let Some((stamp, text)) =
        line.split_once(' ').and_then(|(stamp, text)| Some((stamp.parse::<Timestamp>().ok()?, text)))
    else {
        return;
    };
    // `sinceTime` has a granularity of a second, so lines come twice after a reconnection.
    if newest.is_some_and(|newest| stamp <= newest) {
        return;
    }
    *newest = Some(stamp);
    let is_end = cycle_end.is_match(text);
    if !is_end && !text.contains(marks) {
        return;
    }
    let now = Instant::now();
    let age = Duration::try_from(cluster_now.duration_since(stamp)).unwrap_or_default();
    let at = if age < LIVE { now } else { now.checked_sub(age).unwrap_or(now) };
    sender.send_modify(|log| {
        if is_end {
            log.ended += 1;
            log.ends.push((at, stamp));
            log.ends.drain(..log.ends.len().saturating_sub(16));
        } else {
            log.marked.push((text.to_owned(), stamp));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> CycleLog {
        let (sender, receiver) = watch::channel(CycleLog::default());
        let end = Regex::new(r"^\[\d\d:\d\d:\d\d\] Synced\b").unwrap();
        let mut newest = None;
        let now = "2026-11-21T03:01:10Z".parse().unwrap();
        for line in lines {
            take(&sender, &mut newest, line, &end, "e2e-run", now);
        }
        receiver.borrow().clone()
    }

    #[test]
    fn the_next_cycle_is_due_one_interval_after_the_last() {
        let log = log(&[
            "2026-11-21T03:00:30.0Z [03:00:30] Synced to Windows in 0s",
            "2026-11-21T03:01:00.0Z [03:01:00] Synced to Windows in 0s",
        ]);
        let left = log.next_in(Instant::now()).unwrap();
        assert!(left > Duration::from_secs(19) && left <= Duration::from_secs(20), "{left:?}");
        assert!(log.is_quiet(Instant::now()));
        assert!(!log.is_quiet(Instant::now() + Duration::from_secs(19)), "the next cycle is too near");
    }

    #[test]
    fn names_of_files_do_not_count_as_cycles_and_lines_that_come_twice_count_once() {
        let log = log(&[
            "2026-11-21T03:00:30.1Z sending incremental file list",
            "2026-11-21T03:00:30.2Z Synced error failed.txt",
            "2026-11-21T03:00:30.3Z e2e-run-latency.txt",
            "2026-11-21T03:00:30.4Z [03:00:30] Synced to Windows in 0s",
            "2026-11-21T03:00:30.4Z [03:00:30] Synced to Windows in 0s",
        ]);
        assert_eq!(log.ended, 1);
        assert!(log.ended_after("e2e-run-latency.txt", Instant::now()));
        assert!(!log.listed("e2e-run-other.txt"));
        assert!(!log.ended_after("e2e-run-other.txt", Instant::now()), "that cycle ended before");
    }

    #[tokio::test]
    async fn a_hostile_line_is_cut_and_the_next_one_is_read() {
        let mut text = vec![0xff; 3 * LONGEST_LINE];
        text.extend_from_slice(b"\nnext\nunfinished");
        let mut stream = futures::io::Cursor::new(text);
        assert!(next_line(&mut stream).await.unwrap().is_some());
        assert_eq!(next_line(&mut stream).await.unwrap().as_deref(), Some("next"));
        assert_eq!(next_line(&mut stream).await.unwrap(), None);
    }

    #[test]
    fn a_sidecar_that_never_ended_a_cycle_is_not_waited_for() {
        assert!(log(&[]).is_quiet(Instant::now()));
    }
}
