//! `multi-write`: several cycles in a row with new and replaced files of different sizes end whole in the host folder.

use serde::{Deserialize, Serialize};

use super::ground::Ground;
use super::scene::{Delivery, Scene};
use crate::check::parameter::Span;
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Verdict};
use crate::random;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MultiWrite {
    /// The longest time from the acknowledged write to the arrival of all files.
    pub within: Span,
    /// How many cycles in a row are written.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub rounds: u8,
    /// The sizes of the files; each has another of them in each round.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(length(min = 1))]
    pub bytes: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    /// What came of the files of each round; behind one that went wrong there is none.
    rounds: Vec<Delivery>,
}

impl Kind for MultiWrite {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn writes(&self) -> Option<u8> {
        Some(self.rounds)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        let mut seen = Observation { scene, rounds: Vec::new() };
        while seen.rounds.len() < usize::from(self.rounds) && seen.rounds.iter().all(Delivery::is_whole) {
            seen.rounds.push(self.round(&ground, seen.rounds.len()).await?);
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        // Recordings of suites that wrote more have more.
        let all = seen.rounds.len().max(self.rounds.into());
        let (mut files, mut slowest) = (0, 0);
        for round in 0..all {
            match seen.scene.delivered(seen.rounds.get(round), "a file", system.sidecar_name(), self.within) {
                Ok(arrival) => (files, slowest) = (files + arrival.files, slowest.max(arrival.millis)),
                Err(verdict) => return verdict,
            }
        }
        let summary = format!("{files} writes in {all} cycles, all whole; the slowest after {slowest} ms");
        Verdict::pass(summary)
    }
}

impl MultiWrite {
    /// Writes the files of a round and follows them until the cycle has ended that brought them.
    async fn round(&self, ground: &Ground<'_>, round: usize) -> Result<Delivery, Verdict> {
        let (mut writes, mut wanted) = (Vec::new(), Vec::new());
        // One more file than in the round before.
        for index in 0..=round + 1 {
            let bytes = self.bytes.get((index + round) % self.bytes.len().max(1)).copied().unwrap_or_default();
            let (name, line) = (ground.place(&format!("{index}.txt")).name, random::text(61));
            wanted.push((name.clone(), Digest::of(Operation::filling(&line, bytes))));
            writes.push(Operation::Fill { path: ground.path(&name), line, bytes });
        }
        ground.deliver(writes, &wanted).await
    }
}
