//! A sidecar's log for as long as a test wants to see its cycles: as it is followed, and fetched where that does not do.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use crate::check::Site;
use crate::cluster::container;
use crate::cluster::{Cycle, CycleLog, Cycles, ResourceExt, SyncLog};
use crate::event::Verdict;

/// So much of the log's newest line is read.
const LINE: i64 = 1 << 20;
/// So much of the log is fetched where the stream did not bring enough of it.
const MOST: i64 = 32 << 20;

/// What is waited for.
pub struct Wait {
    pub cycles: u8,
    /// How long each may take.
    pub each: Duration,
    pub limit: Instant,
    /// So far back cycles count.
    pub past: SignedDuration,
}

/// The cycles of a sidecar, and when its log listed a file of the test's as copied.
///
/// # Errors
/// The log cannot be read.
pub async fn watch(
    site: &Site,
    pod: &Pod,
    followed: &Cycles,
    file: &str,
    wait: Wait,
) -> Result<(Vec<Cycle>, Vec<Timestamp>), Verdict> {
    let start = newest(site, pod).await?;
    let since = start.checked_sub(wait.past).unwrap_or(Timestamp::UNIX_EPOCH);
    let cycles = |log: &CycleLog, since| -> Vec<Cycle> {
        log.sync_log.cycles.iter().filter(|cycle| cycle.began >= since).cloned().collect()
    };
    let has_enough = |log: &CycleLog| {
        let listed = log.listings(file);
        let ends = (ended(&cycles(log, since)), log.ends_after(listed.last().copied().unwrap_or(start)));
        log.is_denied() || is_enough(wait.cycles, ends, listed.len())
    };
    followed.wait_while_cycles_end(wait.each, wait.limit, has_enough).await;
    let log = followed.log();
    if let Some(error) = log.error.as_ref().filter(|_| log.is_denied()) {
        return Err(site.no_answer(error));
    }
    // Those of an earlier life of the container say nothing of this one.
    let mut seen = cycles(&log, since.max(started(site, pod)));
    if ended(&seen) < wait.cycles.into() {
        // What the stream did not bring, because it broke or is held up on the way, an answer with an end does.
        seen = fetched(site, pod, since).await?;
    }
    Ok((seen, log.listings(file)))
}

pub fn ended(cycles: &[Cycle]) -> usize {
    cycles.iter().filter(|cycle| cycle.ended.is_some()).count()
}

/// Whether the log says all that it can, by the ends of cycles in all and since the file was listed last (or written),
/// and how often it was listed. A file can be listed twice without a fault, if it was just being written when a cycle
/// came by; only then a third cycle decides.
fn is_enough(wanted: u8, (all, since): (usize, usize), listed: usize) -> bool {
    // Without a listing one more: a cycle may have begun before the file was there.
    let needed = if listed == 0 { 3 } else { 2 };
    all >= usize::from(wanted) && (since >= needed || listed > 2)
}

/// When the sidecar said its newest line, by the log's own clock, which is the node's and may differ from all others.
async fn newest(site: &Site, pod: &Pod) -> Result<Timestamp, Verdict> {
    let last = site.shared.cluster.log_tail(&pod.name_any(), site.system.sidecar_name(), 1, LINE).await;
    let last = last.map_err(|error| site.no_answer(&error))?;
    Ok(last.last().map_or(Timestamp::UNIX_EPOCH, |(stamp, _)| *stamp))
}

/// When the sidecar began to run.
fn started(site: &Site, pod: &Pod) -> Timestamp {
    let population = site.shared.watch.population().ok();
    let is_it = |other: &&Arc<Pod>| other.metadata.uid == pod.metadata.uid;
    let now = population.as_ref().and_then(|population| population.pods.iter().find(is_it)).map_or(pod, |pod| pod);
    let view = container::named(now, site.system.sidecar_name());
    view.and_then(|view| view.running_since()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The cycles that the log has since a moment.
async fn fetched(site: &Site, pod: &Pod, since: Timestamp) -> Result<Vec<Cycle>, Verdict> {
    let log = site.shared.cluster.log(&pod.name_any(), site.system.sidecar_name(), Some(since), MOST).await;
    let lines = log.map_err(|error| site.no_answer(&error))?;
    Ok(site.system.log_patterns().map(|words| SyncLog::read(&lines, &words).cycles).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::is_enough;

    #[test]
    fn it_waits_for_its_cycles_and_for_one_after_the_listing() {
        let is_enough = |all, since, listed| is_enough(3, (all, since), listed);
        assert!(is_enough(3, 2, 1) && is_enough(3, 1, 3) && is_enough(3, 3, 0));
        assert!(!is_enough(2, 2, 1), "too few cycles");
        assert!(!is_enough(3, 1, 1) && !is_enough(3, 1, 2), "it may be listed again");
        assert!(!is_enough(3, 2, 0), "the file may have come in the middle of a cycle");
    }
}
