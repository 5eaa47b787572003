//! The work of `file-sync`: writes files spread over one sync cycle, follows each to the host folder, uses one, removes all.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::delivery::{Arrival, Delivery, SyncPair};
use super::route::Route;
use super::search;
use crate::check::nfs::{self, Abort, FailedSession};
use crate::check::{TestFile, millis};
use crate::cluster::container;
use crate::cluster::{Operation, PAUSE_TIMEOUT};
use crate::digest::Digest;
use crate::event::{Reason, Timeline, Verdict};
use crate::random;

#[derive(Debug, Clone, Copy)]
pub struct Files {
    pub count: u32,
    pub bytes: usize,
    /// Over NFS, as clients write; else by a command in the server's container.
    pub by_nfs: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pub pair: SyncPair,
    /// Of the first file that did not arrive, else of the one that was used.
    pub delivery: Option<Delivery>,
    #[serde(rename = "unserved")]
    pub nfs_failure: Option<Box<FailedSession>>,
    /// Why the tester cannot open, extend or remove the file.
    pub unusable: Option<String>,
    /// Latencies of the files that arrived, in the order of their writes, in milliseconds.
    pub samples: Vec<u64>,
    pub timeline: Option<Timeline>,
}

struct Sample {
    file: TestFile,
    content: String,
    written: Option<Instant>,
}

/// What became of a sample, or why the NFS server did not accept it.
type Sent = Result<Delivery, Box<FailedSession>>;

/// Sends files, and follows them until one is used and all are removed, or until one fails to arrive.
pub async fn send(pair: SyncPair, route: &Route<'_>, files: Files) -> Result<Observation, Verdict> {
    let (mut arrived, failed) = send_all(route, files).await?;
    let samples = arrived.iter().map(|(_, arrival)| arrival.millis).collect();
    let timeline = Some(timeline(route, &arrived, failed.as_ref()));
    let mut seen = Observation { pair, delivery: None, nfs_failure: None, unusable: None, samples, timeline };
    match failed {
        Some((_, Err(failure))) => seen.nfs_failure = Some(failure),
        Some((sample, Ok(mut delivery))) => {
            let arrival = delivery.0.as_mut().ok();
            let trace = arrival.and_then(|arrival| arrival.wrong.first_mut()?.trace.as_mut());
            if let Some(trace) = trace.filter(|_| files.by_nfs) {
                trace.by_nfs = true;
                if trace.export.lacks_file() {
                    nfs::remove_file(route.site, &route.pod, &sample.file.name).await;
                }
            }
            seen.delivery = Some(delivery);
        }
        None => {
            // The last file has just arrived, so that nobody had time to remove it.
            seen.unusable = use_last(route, &arrived).await?;
            seen.delivery = arrived.pop().map(|(_, arrival)| Delivery(Ok(arrival)));
        }
    }
    Ok(seen)
}

/// The files that arrived, in the order of their writes, and the first that did not: then the others prove nothing more.
async fn send_all(
    route: &Route<'_>,
    files: Files,
) -> Result<(Vec<(Sample, Arrival)>, Option<(Sample, Sent)>), Verdict> {
    let spacing = spacing(route, files.count).await;
    let folder = route.site.shared.host.folder(route.site.server());
    let what = if files.count == 1 { "a file".to_owned() } else { format!("{} files", files.count) };
    let what = format!("{what} to arrive in {}", folder.display());
    route.site.waiting(what, route.within.0 + spacing * (files.count - 1));
    let start = Instant::now();
    let one = |number| async move {
        // By the clock: a delay of one file must not shift the others into another cycle.
        sleep_until(start + spacing * number).await;
        let what = if number == 0 { "sync.txt".to_owned() } else { format!("sync-{}.txt", number + 1) };
        let mut sample = Sample { file: route.register(&what), content: random::text(files.bytes), written: None };
        let sent = match send_one(route, &mut sample, files.by_nfs).await {
            Ok(delivery) => Ok(delivery),
            Err(abort) => Err(abort.into_failed()?),
        };
        Ok::<_, Verdict>((sample, sent))
    };
    let mut underway: FuturesUnordered<_> = (0..files.count).map(one).collect();
    let (mut arrived, mut failed) = (Vec::new(), None);
    while let Some(ended) = underway.next().await {
        match ended? {
            (sample, Ok(Delivery(Ok(arrival)))) if arrival.wrong.is_empty() => arrived.push((sample, arrival)),
            other => {
                failed = Some(other);
                break;
            }
        }
    }
    arrived.sort_by_key(|(sample, _)| sample.written);
    Ok((arrived, failed))
}

/// The time between two writes that spreads them over one sync cycle.
async fn spacing(route: &Route<'_>, count: u32) -> Duration {
    if count == 1 {
        return Duration::ZERO;
    }
    // Files need not be spread over more than the limit.
    let period = search::period(&route.site.shared.cluster, &route.pod, &route.site.system).await;
    period.unwrap_or(route.within.0 / 2).min(route.within.0) / count
}

/// Writes a file, and waits until the sync cycle that copied it has ended.
async fn send_one(route: &Route<'_>, sample: &mut Sample, by_nfs: bool) -> Result<Delivery, Abort<Box<FailedSession>>> {
    let Sample { file, content, .. } = sample;
    let written = if by_nfs {
        match nfs::write_file(route.site, &route.pod, &file.name, content.as_bytes()).await {
            Ok(acknowledged) => acknowledged,
            Err(abort) => return Err(Abort::Failed(Box::new(abort.into_failed()?))),
        }
    } else {
        let operation = Operation::Write { path: route.path(&file.name), content: content.clone() };
        let (write, problem) = route.site.in_export(&route.pod, &operation).await?;
        if let Some(problem) = problem {
            return Ok(Delivery(Err(problem)));
        }
        write.ended
    };
    let expected = [(file.name.clone(), Digest::of(&*content))];
    sample.written = Some(written);
    Ok(route.follow(&expected, &[0], written).await?)
}

fn timeline(route: &Route<'_>, arrived: &[(Sample, Arrival)], failed: Option<&(Sample, Sent)>) -> Timeline {
    let at = |moment: Instant| route.site.shared.since_start(moment);
    let arrived = arrived.iter().map(|(sample, arrival)| (sample.written, Some(arrival.millis)));
    let failed = failed.iter().map(|(sample, _)| (sample.written, None));
    let files = arrived.chain(failed).filter_map(|(written, latency)| {
        let written = at(written?)?;
        Some((written, latency.map(|latency| written + latency)))
    });
    let cycles = route.log.state().cycle_ends().filter_map(at).collect();
    Timeline { limit: millis(route.within.0), files: files.collect(), cycles }
}

/// Extends the last file as a tester would, and removes all files from both ends; what the tester cannot do, if anything.
async fn use_last(route: &Route<'_>, arrived: &[(Sample, Arrival)]) -> Result<Option<String>, Verdict> {
    let (site, names) = (route.site, arrived.iter().map(|(sample, _)| sample.file.name.as_str()));
    let (host, ledger, server) = (&site.shared.host, &site.shared.ledger, site.server());
    let Some(last) = names.clone().next_back() else { return Ok(None) };
    // Usually at once: a cycle has just ended.
    route.log.wait_for_pause(Instant::now() + PAUSE_TIMEOUT).await;
    if let Err(error) = host.append(server, last, b" and the tester's own words").await {
        return Ok(Some(format!("cannot extend it: {error}")));
    }
    // Between two cycles, so that no file vanishes under rsync; from the export first, so that none is copied back.
    let removals = names.clone().map(|name| Operation::Remove { path: route.path(name) });
    if let (_, Some(problem)) = route.run(removals.collect()).await? {
        let object = container::label(&route.pod, &site.system.export.container);
        let files = names.collect::<Vec<_>>().join(", ");
        return Err(Verdict::error(Reason::new(object, format!("to remove {files}"), problem)));
    }
    for (Sample { file, .. }, _) in arrived {
        ledger.removed(&site.exported(file));
    }
    for (Sample { file, .. }, _) in arrived {
        if let Err(error) = host.remove(server, &file.name).await {
            return Ok(Some(format!("cannot remove {}: {error}", file.name)));
        }
        ledger.removed(file);
    }
    Ok(None)
}
