//! `multi-write`: new and replaced files of different sizes arrive complete in several sync cycles in a row.

use serde::{Deserialize, Serialize};

use super::delivery::{Delivery, SyncPair};
use super::route::Route;
use crate::check::parameter::DurationParam;
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Verdict};
use crate::random;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MultiWrite {
    /// The longest time from the acknowledged write to the arrival of all files.
    pub within: DurationParam,
    /// How many sync cycles in a row get files.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub rounds: u8,
    /// The sizes of the files; each file has a different one in each round.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(length(min = 1))]
    pub bytes: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pair: SyncPair,
    /// Of each round, up to the first that failed.
    rounds: Vec<Delivery>,
}

impl Kind for MultiWrite {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn sync_cycles(&self) -> Option<u8> {
        Some(self.rounds)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        let mut seen = Observation { pair, rounds: Vec::new() };
        while seen.rounds.len() < usize::from(self.rounds) && seen.rounds.iter().all(Delivery::is_complete) {
            seen.rounds.push(self.round(&route, seen.rounds.len()).await?);
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        // Recordings may be of suites with more rounds.
        let all = seen.rounds.len().max(self.rounds.into());
        let (mut files, mut slowest) = (0, 0);
        for round in 0..all {
            match seen.pair.check_arrival(seen.rounds.get(round), "the file", system.sidecar_name(), self.within) {
                Ok(arrival) => (files, slowest) = (files + arrival.files, slowest.max(arrival.millis)),
                Err(verdict) => return verdict,
            }
        }
        Verdict::pass(format!("{files} writes in {all} sync cycles, all arrived complete; slowest after {slowest} ms"))
    }
}

impl MultiWrite {
    async fn round(&self, route: &Route<'_>, round: usize) -> Result<Delivery, Verdict> {
        let (mut writes, mut expected) = (Vec::new(), Vec::new());
        for index in 0..=round + 1 {
            let bytes = self.bytes.get((index + round) % self.bytes.len().max(1)).copied().unwrap_or_default();
            let (name, line) = (route.register(&format!("{index}.txt")).name, random::text(61));
            expected.push((name.clone(), Digest::of(Operation::filling(&line, bytes))));
            writes.push(Operation::Fill { path: route.path(&name), line, bytes });
        }
        route.deliver(writes, &expected).await
    }
}
