//! Watches a sidecar's log until a test has seen enough sync cycles; fetches it where following it brings too little.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use crate::check::Site;
use crate::cluster::container;
use crate::cluster::{Cycle, FollowedLog, LogState, ResourceExt, SyncLog};
use crate::event::Verdict;

/// The most of the log's newest line that is read, in bytes.
const MAX_LINE: i64 = 1 << 20;
/// The most of the log that is fetched, in bytes.
const MAX_LOG: i64 = 32 << 20;

pub struct Wait {
    pub cycles: u8,
    pub cycle_timeout: Duration,
    pub deadline: Instant,
    /// Cycles that began so long before the log's newest line count too.
    pub past: SignedDuration,
}

/// The sync cycles of a sidecar, and when its log listed the test's file as copied.
pub async fn watch(
    site: &Site,
    pod: &Pod,
    followed: &FollowedLog,
    file: &str,
    wait: Wait,
) -> Result<(Vec<Cycle>, Vec<Timestamp>), Verdict> {
    let start = newest_line_time(site, pod).await?;
    let since = start.checked_sub(wait.past).unwrap_or(Timestamp::UNIX_EPOCH);
    let cycles = |log: &LogState, since| -> Vec<Cycle> {
        log.sync_log.cycles.iter().filter(|cycle| cycle.began >= since).cloned().collect()
    };
    let has_enough = |log: &LogState| {
        let listed = log.listings(file);
        let ends = (ended(&cycles(log, since)), log.ends_after(listed.last().copied().unwrap_or(start)));
        log.is_denied() || is_enough(wait.cycles, ends, listed.len())
    };
    followed.wait_while_cycles_end(wait.cycle_timeout, wait.deadline, has_enough).await;
    let log = followed.state();
    if let Some(error) = log.error.as_ref().filter(|_| log.is_denied()) {
        return Err(site.request_failed(error));
    }
    // Cycles from before a restart of the container do not count.
    let mut seen = cycles(&log, since.max(sidecar_start(site, pod)));
    if ended(&seen) < wait.cycles.into() {
        // The stream broke, or something on the way withholds it.
        seen = fetch_cycles(site, pod, since).await?;
    }
    Ok((seen, log.listings(file)))
}

pub fn ended(cycles: &[Cycle]) -> usize {
    cycles.iter().filter(|cycle| cycle.ended.is_some()).count()
}

/// Whether enough cycles have ended: in all, and since the file was listed last (or written). A healthy sidecar lists a file
/// twice if a cycle copied it while it was being written; only a third listing is a fault.
fn is_enough(expected: u8, (all, since): (usize, usize), listed: usize) -> bool {
    // Without a listing one more: a cycle may have begun before the file was written.
    let needed = if listed == 0 { 3 } else { 2 };
    all >= usize::from(expected) && (since >= needed || listed > 2)
}

/// The time of the log's newest line, by the node's clock, which may differ from all others.
async fn newest_line_time(site: &Site, pod: &Pod) -> Result<Timestamp, Verdict> {
    let last = site.shared.cluster.log_tail(&pod.name_any(), site.system.sidecar_name(), 1, MAX_LINE).await;
    let last = last.map_err(|error| site.request_failed(&error))?;
    Ok(last.last().map_or(Timestamp::UNIX_EPOCH, |(stamp, _)| *stamp))
}

fn sidecar_start(site: &Site, pod: &Pod) -> Timestamp {
    let snapshot = site.shared.watch.snapshot().ok();
    let is_it = |other: &&Arc<Pod>| other.metadata.uid == pod.metadata.uid;
    let current = snapshot.as_ref().and_then(|snapshot| snapshot.pods.iter().find(is_it)).map_or(pod, |pod| pod);
    let view = container::named(current, site.system.sidecar_name());
    view.and_then(|view| view.running_since()).unwrap_or(Timestamp::UNIX_EPOCH)
}

async fn fetch_cycles(site: &Site, pod: &Pod, since: Timestamp) -> Result<Vec<Cycle>, Verdict> {
    let log = site.shared.cluster.log(&pod.name_any(), site.system.sidecar_name(), Some(since), MAX_LOG).await;
    let lines = log.map_err(|error| site.request_failed(&error))?;
    Ok(site.system.log_patterns().map(|patterns| SyncLog::read(&lines, &patterns).cycles).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::is_enough;

    #[test]
    fn enough_cycles_are_the_expected_number_and_one_after_the_listing() {
        let is_enough = |all, since, listed| is_enough(3, (all, since), listed);
        assert!(is_enough(3, 2, 1) && is_enough(3, 1, 3) && is_enough(3, 3, 0));
        assert!(!is_enough(2, 2, 1), "too few cycles");
        assert!(!is_enough(3, 1, 1) && !is_enough(3, 1, 2), "it may be listed again");
        assert!(!is_enough(3, 2, 0), "the file may have been written during a cycle");
    }
}
