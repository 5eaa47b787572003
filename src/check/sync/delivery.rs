//! What `file-sync` does: writes files over one cycle, follows each to the host folder, uses one and removes all.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::ground::Ground;
use super::scene::{Arrival, Delivery, Scene};
use super::search;
use crate::check::nfs::{self, Abort, FailedSession};
use crate::check::{Placed, millis};
use crate::cluster::container;
use crate::cluster::{Operation, QUIET};
use crate::digest::Digest;
use crate::event::{Reason, Timeline, Verdict};
use crate::random;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    pub count: u32,
    pub bytes: usize,
    /// As clients write, or else by a command in the server's container.
    pub by_nfs: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Sent {
    pub scene: Scene,
    /// What came of the file, of several of the one that was used, or of the first that went astray.
    pub delivery: Option<Delivery>,
    pub unserved: Option<Box<FailedSession>>,
    /// What the tester could not do with it: open, extend and remove it.
    pub unusable: Option<String>,
    /// How long each file took that arrived, in the order of the writes: milliseconds from the acknowledged write on, by this
    /// machine's monotonic clock.
    pub samples: Vec<u64>,
    pub timeline: Option<Timeline>,
}

struct Sample {
    hosted: Placed,
    content: String,
    /// When its write was acknowledged.
    written: Option<Instant>,
}

/// What came of a sample, or why the NFS server did not take it.
type Brought = Result<Delivery, Box<FailedSession>>;

/// Sends files and follows them until one is used and all are removed, or one goes astray.
///
/// # Errors
/// It could not be told what came of them.
pub async fn send(scene: Scene, ground: &Ground<'_>, files: Files) -> Result<Sent, Verdict> {
    let (mut whole, astray) = bring_all(ground, files).await?;
    let samples = whole.iter().map(|(_, arrival)| arrival.millis).collect();
    let timeline = Some(timeline(ground, &whole, astray.as_ref()));
    let mut sent = Sent { scene, delivery: None, unserved: None, unusable: None, samples, timeline };
    match astray {
        Some((_, Err(unserved))) => sent.unserved = Some(unserved),
        Some((sample, Ok(mut delivery))) => {
            let arrival = delivery.0.as_mut().ok();
            let trail = arrival.and_then(|arrival| arrival.wrong.first_mut()?.trail.as_mut());
            if let Some(trail) = trail.filter(|_| files.by_nfs) {
                trail.by_nfs = true;
                if trail.export.lacks() {
                    nfs::remove_file(ground.site, &ground.pod, &sample.hosted.name).await;
                }
            }
            sent.delivery = Some(delivery);
        }
        None => {
            // The last came just now: nobody else had time to take it away.
            sent.unusable = use_last(ground, &whole).await?;
            sent.delivery = whole.pop().map(|(_, arrival)| Delivery(Ok(arrival)));
        }
    }
    Ok(sent)
}

/// Those that arrived whole, in the order of their writes, and the first that did not: what becomes of the others says nothing
/// more then.
async fn bring_all(
    ground: &Ground<'_>,
    files: Files,
) -> Result<(Vec<(Sample, Arrival)>, Option<(Sample, Brought)>), Verdict> {
    let apart = apart(ground, files.count).await;
    let folder = ground.site.shared.host.folder(ground.site.server());
    let what = if files.count == 1 { "a file".to_owned() } else { format!("{} files", files.count) };
    let what = format!("{what} on the way to {}", folder.display());
    ground.site.waiting(what, ground.within.0 + apart * (files.count - 1));
    let start = Instant::now();
    let one = |number| async move {
        // By the clock and not one after another: what delays one must not shift the others into another cycle.
        sleep_until(start + apart * number).await;
        let what = if number == 0 { "sync.txt".to_owned() } else { format!("sync-{}.txt", number + 1) };
        let mut sample = Sample { hosted: ground.place(&what), content: random::text(files.bytes), written: None };
        let brought = match bring(ground, &mut sample, files.by_nfs).await {
            Ok(delivery) => Ok(delivery),
            Err(abort) => Err(abort.into_failed()?),
        };
        Ok::<_, Verdict>((sample, brought))
    };
    let mut underway: FuturesUnordered<_> = (0..files.count).map(one).collect();
    let (mut whole, mut astray) = (Vec::new(), None);
    while let Some(ended) = underway.next().await {
        match ended? {
            (sample, Ok(Delivery(Ok(arrival)))) if arrival.wrong.is_empty() => whole.push((sample, arrival)),
            lost => {
                astray = Some(lost);
                break;
            }
        }
    }
    whole.sort_by_key(|(sample, _)| sample.written);
    Ok((whole, astray))
}

/// How far the writes are apart, so that they are spread over one cycle.
async fn apart(ground: &Ground<'_>, count: u32) -> Duration {
    if count == 1 {
        return Duration::ZERO;
    }
    // A cycle that is longer than the limit is none that the files need.
    let period = search::period(&ground.site.shared.cluster, &ground.pod, &ground.site.system).await;
    period.unwrap_or(ground.within.0 / 2).min(ground.within.0) / count
}

/// Writes a file and follows it until the cycle has ended that brought it.
async fn bring(ground: &Ground<'_>, sample: &mut Sample, by_nfs: bool) -> Result<Delivery, Abort<Box<FailedSession>>> {
    let Sample { hosted, content, .. } = sample;
    let written = if by_nfs {
        match nfs::write_file(ground.site, &ground.pod, &hosted.name, content.as_bytes()).await {
            Ok(acknowledged) => acknowledged,
            Err(abort) => return Err(Abort::Failed(Box::new(abort.into_failed()?))),
        }
    } else {
        let operation = Operation::Write { path: ground.path(&hosted.name), content: content.clone() };
        let (write, problem) = ground.site.in_export(&ground.pod, &operation).await?;
        if let Some(problem) = problem {
            return Ok(Delivery(Err(problem)));
        }
        write.ended
    };
    let wanted = [(hosted.name.clone(), Digest::of(&*content))];
    sample.written = Some(written);
    Ok(ground.follow(&wanted, &[0], written).await?)
}

fn timeline(ground: &Ground<'_>, whole: &[(Sample, Arrival)], astray: Option<&(Sample, Brought)>) -> Timeline {
    let at = |moment: Instant| ground.site.shared.since_start(moment);
    let arrived = whole.iter().map(|(sample, arrival)| (sample.written, Some(arrival.millis)));
    let lost = astray.iter().map(|(sample, _)| (sample.written, None));
    let files = arrived.chain(lost).filter_map(|(written, took)| {
        let written = at(written?)?;
        Some((written, took.map(|took| written + took)))
    });
    let cycles = ground.cycles.log().moments().filter_map(at).collect();
    Timeline { limit: millis(ground.within.0), files: files.collect(), cycles }
}

/// Uses the last file as the tester would and removes all, there and here; what the tester could not do, if anything.
async fn use_last(ground: &Ground<'_>, whole: &[(Sample, Arrival)]) -> Result<Option<String>, Verdict> {
    let (site, names) = (ground.site, whole.iter().map(|(sample, _)| sample.hosted.name.as_str()));
    let (host, ledger, server) = (&site.shared.host, &site.shared.ledger, site.server());
    let Some(last) = names.clone().next_back() else { return Ok(None) };
    // Mostly at once: a cycle has just ended.
    ground.cycles.quiet(Instant::now() + QUIET).await;
    if let Err(error) = host.append(server, last, b" and the tester's own words").await {
        return Ok(Some(format!("it cannot be extended: {error}")));
    }
    // Right after a cycle, so that nothing vanishes under rsync; there first, so that nothing brings it back.
    let removals = names.clone().map(|name| Operation::Remove { path: ground.path(name) });
    if let (_, Some(problem)) = ground.perform(removals.collect()).await? {
        let object = container::place(&ground.pod, &site.system.export.container);
        let files = names.collect::<Vec<_>>().join(", ");
        return Err(Verdict::error(Reason::new(object, format!("to remove {files}"), problem)));
    }
    for (Sample { hosted, .. }, _) in whole {
        ledger.removed(&site.exported(hosted));
    }
    for (Sample { hosted, .. }, _) in whole {
        if let Err(error) = host.remove(server, &hosted.name).await {
            return Ok(Some(format!("{} cannot be removed: {error}", hosted.name)));
        }
        ledger.removed(hosted);
    }
    Ok(None)
}
