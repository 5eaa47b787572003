//! What `file-sync` does: writes files over one cycle, follows each to the tester's folder, uses one and removes all.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::file_sync::{Arrival, FileSync, Observation, Progress, Write};
use super::ground::Ground;
use super::search;
use crate::check::{Placed, Site, millis, nfs};
use crate::cluster::container;
use crate::cluster::{Operation, QUIET};
use crate::digest::Digest;
use crate::event::{Reason, Timeline, Verdict};
use crate::random;

/// A file that is on its way, or was.
struct Sample {
    /// In the tester's folder.
    hosted: Placed,
    /// In the export.
    exported: Placed,
    content: String,
    /// When its write was acknowledged.
    written: Option<Instant>,
}

/// The file with that number.
pub(super) fn file(site: &Site, number: u32) -> Placed {
    site.file(&if number == 0 { "sync.txt".to_owned() } else { format!("sync-{}.txt", number + 1) })
}

impl FileSync {
    /// Writes the files and follows them until one is used and all are removed, or one goes astray.
    pub(super) async fn follow(&self, ground: &Ground<'_>, seen: &mut Observation) -> Result<(), Verdict> {
        let count = self.samples.count();
        let apart = self.apart(ground).await;
        let folder = ground.site.shared.host.folder(ground.site.server());
        let what = if count == 1 { "a file".to_owned() } else { format!("{count} files") };
        let what = format!("{what} on the way to {}", folder.display());
        ground.site.waiting_for_cycle(&ground.cycles, what, self.within.0 + apart * (count - 1));
        let start = Instant::now();
        let one = |number| async move {
            // By the clock and not one after another: what delays one must not shift the others into another cycle.
            sleep_until(start + apart * number).await;
            let mut sample = self.sample(ground, number);
            let brought = self.bring(ground, &mut sample).await?;
            Ok::<_, Verdict>((number, sample, brought))
        };
        let mut underway: FuturesUnordered<_> = (0..count).map(one).collect();
        let mut whole = Vec::new();
        let mut astray = None;
        while let Some(ended) = underway.next().await {
            let (number, sample, brought) = ended?;
            match brought {
                Ok(arrival) => whole.push((number, sample, arrival)),
                Err(progress) => {
                    // What becomes of the others says nothing more.
                    astray = Some((sample, progress));
                    break;
                }
            }
        }
        drop(underway);
        whole.sort_by_key(|(number, ..)| *number);
        seen.samples = whole.iter().map(|(_, _, arrival)| *arrival).collect();
        let arrived = whole.iter().map(|(_, sample, arrival)| (sample.written, Some(arrival.since_acknowledged)));
        let lost = astray.iter().map(|(sample, _)| (sample.written, None));
        seen.timeline = Some(self.timeline(ground, arrived.chain(lost)));
        if let Some((sample, progress)) = astray {
            if let (Progress::NotArrived(_), Some(written)) = (&progress, sample.written) {
                let name = &sample.hosted.name;
                let mut trail = ground.search(name, &Digest::of(&sample.content), written).await;
                trail.by_nfs = self.write == Write::Nfs;
                if trail.by_nfs && trail.export.lacks() {
                    nfs::take_back(ground.site, &ground.pod, self.target(), name).await;
                }
                seen.trail = Some(trail);
            }
            (seen.file, seen.progress) = (sample.hosted.name, progress);
            return Ok(());
        }
        // The last came just now: nobody else had time to take it away.
        if let Some((_, used, arrival)) = whole.last() {
            seen.file.clone_from(&used.hosted.name);
            let samples: Vec<_> = whole.iter().map(|(_, sample, _)| sample).collect();
            let problem = self.try_out(ground, used, &samples).await?;
            seen.progress = problem.map_or(Progress::Usable(*arrival), |problem| Progress::Unusable(*arrival, problem));
        }
        Ok(())
    }

    /// Files by when their writes were acknowledged and how long they took, beside the cycles so far.
    fn timeline(
        &self,
        Ground { site, cycles, .. }: &Ground<'_>,
        files: impl Iterator<Item = (Option<Instant>, Option<u64>)>,
    ) -> Timeline {
        let at = |moment: Instant| site.shared.since_start(moment);
        let files = files.filter_map(|(written, took)| {
            let written = at(written?)?;
            Some((written, took.map(|took| written + took)))
        });
        let cycles = cycles.log().moments().filter_map(at).collect();
        Timeline { limit: millis(self.within.0), files: files.collect(), cycles }
    }

    /// How far the writes are apart, so that they are spread over one cycle.
    async fn apart(&self, ground: &Ground<'_>) -> Duration {
        let count = self.samples.count();
        if count == 1 {
            return Duration::ZERO;
        }
        // A cycle that is longer than the limit is none that the files need.
        let period =
            search::period(&ground.site.shared.cluster, &ground.pod, &self.sidecar).await.unwrap_or(self.within.0 / 2);
        period.min(self.within.0) / count
    }

    /// A file of random content, noted before it is written.
    fn sample(&self, ground: &Ground<'_>, number: u32) -> Sample {
        let hosted = file(ground.site, number);
        let content = random::text(usize::from(self.bytes.get()));
        let exported = ground.site.place(&ground.pod, &self.export, Some(&self.sidecar), &hosted);
        Sample { hosted, exported, content, written: None }
    }

    /// Writes a file and follows it until the cycle has ended that brought it whole.
    async fn bring(&self, ground: &Ground<'_>, sample: &mut Sample) -> Result<Result<Arrival, Progress>, Verdict> {
        let (sent, written) = match self.put(ground, sample).await? {
            Ok(times) => times,
            Err(progress) => return Ok(Err(progress)),
        };
        sample.written = Some(written);
        let wanted = [(sample.hosted.name.clone(), Digest::of(&sample.content))];
        let arrival = ground.follow(&wanted, &[0], written).await?;
        let times = Arrival { since_sent: arrival.millis + millis(written - sent), since_acknowledged: arrival.millis };
        Ok(match arrival.wrong.into_iter().next() {
            None => Ok(times),
            Some(wrong) if wrong.had_arrived => Err(Progress::Changed(times, wrong.seen)),
            Some(wrong) => Err(Progress::NotArrived(wrong.seen)),
        })
    }

    /// Writes a file into the export; returns when that was sent, and when it was acknowledged.
    async fn put(&self, ground: &Ground<'_>, sample: &Sample) -> Result<Result<(Instant, Instant), Progress>, Verdict> {
        let Sample { hosted, content, .. } = sample;
        if self.write == Write::Nfs {
            let put = nfs::put(ground.site, &ground.pod, self.target(), &hosted.name, content.as_bytes()).await?;
            return Ok(put
                .map(|put| (put.sent, put.acknowledged))
                .map_err(|unwritten| Progress::NotServed(Box::new(unwritten))));
        }
        let operation = Operation::Write { path: ground.path(&hosted.name), content: content.clone() };
        let (write, problem) = ground.site.try_exec(&ground.pod, &self.export.container, &operation).await?;
        Ok(problem.map_or(Ok((write.sent, write.ended)), |problem| Err(Progress::NotWritten(problem))))
    }

    /// Uses one file as the tester would and removes all, there and here; what the tester could not do, if anything.
    async fn try_out(&self, ground: &Ground<'_>, used: &Sample, all: &[&Sample]) -> Result<Option<String>, Verdict> {
        let site = ground.site;
        let (host, ledger, server) = (&site.shared.host, &site.shared.ledger, site.server());
        // Mostly at once: a cycle has just ended.
        ground.cycles.quiet(Instant::now() + QUIET).await;
        if let Err(error) = host.append(server, &used.hosted.name, b" and the tester's own words").await {
            return Ok(Some(format!("it cannot be extended: {error}")));
        }
        // Right after a cycle, so that nothing vanishes under rsync; there first, so that nothing brings it back.
        let removals = all.iter().map(|sample| Operation::Remove { path: ground.path(&sample.hosted.name) });
        if let Err(problem) = ground.perform(removals.collect()).await? {
            let object = container::place(&ground.pod, &self.export.container);
            let files = all.iter().map(|sample| sample.hosted.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Verdict::error(Reason::new(object, format!("to remove {files}"), problem)));
        }
        for sample in all {
            ledger.removed(&sample.exported);
        }
        for sample in all {
            if let Err(error) = host.remove(server, &sample.hosted.name).await {
                return Ok(Some(format!("{} cannot be removed: {error}", sample.hosted.name)));
            }
            ledger.removed(&sample.hosted);
        }
        Ok(None)
    }
}
