//! `file-names`: files with unusual names arrive under exactly those names.

use serde::{Deserialize, Serialize};

use crate::check::parameter::DurationParam;
use crate::check::sync::delivery::{Delivery, ExpectedFile, SyncPair, count_files};
use crate::check::sync::route::{self, Route};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileNames {
    /// The longest time from the acknowledged write to the arrival of all files, and from there to the end of the sync cycle.
    pub within: DurationParam,
    /// The names, all valid on Windows.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// The length of one more file name, in characters.
    pub longest: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pair: SyncPair,
    delivery: Delivery,
    #[serde(rename = "strangers")]
    unexpected: Vec<String>,
}

impl Kind for FileNames {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn sync_cycles(&self) -> Option<u8> {
        Some(1)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        let folder = route.register("names").name;
        // Not in a subfolder, whose path would exceed the 260 characters that many Windows programs support.
        let length = site.file("").name.chars().count();
        let long = route.register(&"x".repeat(self.longest.saturating_sub(length))).name;
        let nested = |name: &String| route.nested(&folder, name, route::random_line());
        let (mut writes, mut expected): (Vec<_>, Vec<ExpectedFile>) = self.names.iter().map(nested).unzip();
        let text = route::random_line();
        writes.push(Operation::Write { path: route.path(&long), content: text.clone() });
        expected.push((long, Digest::of(text)));
        let delivery = route.deliver(writes, &expected).await?;
        let unexpected =
            if delivery.is_complete() { route.unexpected_files(&folder, &expected).await? } else { Vec::new() };
        Ok(Observation { pair, delivery, unexpected })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let what = "the file";
        let arrival = match seen.pair.check_arrival(Some(&seen.delivery), what, system.sidecar_name(), self.within) {
            Ok(arrival) => arrival,
            Err(verdict) => return verdict,
        };
        let reasons = seen.pair.unexpected_files(&seen.unexpected, system.sidecar_name());
        let summary = format!(
            "{} arrived under their names {} ms after the acknowledged write: {}, and a name of {} characters",
            count_files(arrival.files),
            arrival.millis,
            self.names.join(", "),
            self.longest
        );
        Verdict::judged(summary, reasons).at(Hop::Sidecar)
    }
}
