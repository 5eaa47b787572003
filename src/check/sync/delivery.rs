//! What `file-sync` does: writes files over one cycle, follows each to the tester's folder, uses one and removes all.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::file_sync::{FileSync, Observation, Write};
use super::ground::Ground;
use super::scene::Delivery;
use super::search;
use crate::check::nfs::{self, Halt, Unserved};
use crate::check::{Placed, millis};
use crate::cluster::container;
use crate::cluster::{Operation, QUIET};
use crate::digest::Digest;
use crate::event::{Reason, Timeline, Verdict};
use crate::random;

struct Sample {
    hosted: Placed,
    content: String,
    /// When its write was acknowledged.
    written: Option<Instant>,
}

impl FileSync {
    /// Writes the files and follows them until one is used and all are removed, or one goes astray.
    pub(super) async fn follow(&self, ground: &Ground<'_>, seen: &mut Observation) -> Result<(), Verdict> {
        let count = self.samples;
        let apart = self.apart(ground).await;
        let folder = ground.site.shared.host.folder(ground.site.server());
        let what = if count == 1 { "a file".to_owned() } else { format!("{count} files") };
        let what = format!("{what} on the way to {}", folder.display());
        ground.site.waiting(what, self.within.0 + apart * (count - 1));
        let start = Instant::now();
        let one = |number| async move {
            // By the clock and not one after another: what delays one must not shift the others into another cycle.
            sleep_until(start + apart * number).await;
            let mut sample = self.sample(ground, number);
            let brought = self.bring(ground, &mut sample).await?;
            Ok::<_, Verdict>((sample, brought))
        };
        let mut underway: FuturesUnordered<_> = (0..count).map(one).collect();
        let mut whole = Vec::new();
        let mut astray = None;
        while let Some(ended) = underway.next().await {
            match ended? {
                (sample, Ok(Delivery(Ok(arrival)))) if arrival.wrong.is_empty() => whole.push((sample, arrival)),
                brought => {
                    // What becomes of the others says nothing more.
                    astray = Some(brought);
                    break;
                }
            }
        }
        drop(underway);
        whole.sort_by_key(|(sample, _)| sample.written);
        seen.samples = whole.iter().map(|(_, arrival)| arrival.millis).collect();
        let at = |moment: Instant| ground.site.shared.since_start(moment);
        let arrived = whole.iter().map(|(sample, arrival)| (sample.written, Some(arrival.millis)));
        let lost = astray.iter().map(|(sample, _)| (sample.written, None));
        let files = arrived.chain(lost).filter_map(|(written, took)| {
            let written = at(written?)?;
            Some((written, took.map(|took| written + took)))
        });
        let cycles = ground.cycles.log().moments().filter_map(at).collect();
        seen.timeline = Some(Timeline { limit: millis(self.within.0), files: files.collect(), cycles });
        match astray {
            Some((_, Err(unserved))) => seen.unserved = Some(unserved),
            Some((sample, Ok(mut delivery))) => {
                let arrival = delivery.0.as_mut().ok();
                let trail = arrival.and_then(|arrival| arrival.wrong.first_mut()?.trail.as_mut());
                if let Some(trail) = trail.filter(|_| self.write == Write::Nfs) {
                    trail.by_nfs = true;
                    if trail.export.lacks() {
                        nfs::take_back(ground.site, &ground.pod, &sample.hosted.name).await;
                    }
                }
                seen.delivery = Some(delivery);
            }
            None => {
                // The last came just now: nobody else had time to take it away.
                let samples: Vec<_> = whole.iter().map(|(sample, _)| sample).collect();
                if let Some(used) = samples.last() {
                    seen.unusable = self.try_out(ground, used, &samples).await?;
                }
                seen.delivery = whole.pop().map(|(_, arrival)| Delivery(Ok(arrival)));
            }
        }
        Ok(())
    }

    /// How far the writes are apart, so that they are spread over one cycle.
    async fn apart(&self, ground: &Ground<'_>) -> Duration {
        let count = self.samples;
        if count == 1 {
            return Duration::ZERO;
        }
        // A cycle that is longer than the limit is none that the files need.
        let (cluster, sidecar) = (&ground.site.shared.cluster, &ground.site.system.sidecar);
        let period = match sidecar {
            Some(sidecar) => search::period(cluster, &ground.pod, sidecar).await,
            None => None,
        };
        let period = period.unwrap_or(self.within.0 / 2);
        period.min(self.within.0) / count
    }

    /// A file of random content, noted before it is written.
    fn sample(&self, ground: &Ground<'_>, number: u32) -> Sample {
        let what = if number == 0 { "sync.txt".to_owned() } else { format!("sync-{}.txt", number + 1) };
        let content = random::text(usize::from(self.bytes.get()));
        Sample { hosted: ground.place(&what), content, written: None }
    }

    /// Writes a file and follows it until the cycle has ended that brought it; the error is why the NFS server did not take it.
    async fn bring(
        &self,
        ground: &Ground<'_>,
        sample: &mut Sample,
    ) -> Result<Result<Delivery, Box<Unserved>>, Verdict> {
        let Sample { hosted, content, .. } = sample;
        let written = if self.write == Write::Nfs {
            match nfs::put(ground.site, &ground.pod, &hosted.name, content.as_bytes()).await {
                Ok(acknowledged) => acknowledged,
                Err(Halt::Judged(unserved)) => return Ok(Err(Box::new(unserved))),
                Err(Halt::Unknown(verdict)) => return Err(verdict),
            }
        } else {
            let operation = Operation::Write { path: ground.path(&hosted.name), content: content.clone() };
            let (write, problem) = ground.site.in_export(&ground.pod, &operation).await?;
            if let Some(problem) = problem {
                return Ok(Ok(Delivery(Err(problem))));
            }
            write.ended
        };
        let wanted = [(hosted.name.clone(), Digest::of(&*content))];
        sample.written = Some(written);
        ground.follow(&wanted, &[0], written).await.map(Ok)
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
            let object = container::place(&ground.pod, &site.system.export.container);
            let files = all.iter().map(|sample| sample.hosted.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Verdict::error(Reason::new(object, format!("to remove {files}"), problem)));
        }
        for sample in all {
            ledger.removed(&site.exported(&sample.hosted));
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
