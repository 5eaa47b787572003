//! `file-names`: files with unusual names arrive under just these names.

use serde::{Deserialize, Serialize};

use crate::check::parameter::Span;
use crate::check::sync::ground::{self, Ground};
use crate::check::sync::scene::{Delivery, Scene, Wanted, counted};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::event::{Hop, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileNames {
    /// The longest time from the acknowledged write to the arrival of all files, and from there to the cycle's end.
    pub within: Span,
    /// The names; Windows must be able to hold them.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(length(min = 1))]
    pub names: Vec<String>,
    /// The length of one more name, in characters.
    pub longest: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    delivery: Delivery,
    /// What else was in the folder.
    strangers: Vec<String>,
}

impl Kind for FileNames {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn writes(&self) -> Option<u8> {
        Some(1)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        let folder = ground.place("names").name;
        // Not in a folder: with it the path would be longer than the 260 characters that many programs on Windows take.
        let length = site.file("").name.chars().count();
        let long = ground.place(&"x".repeat(self.longest.saturating_sub(length))).name;
        let nested = |name: &String| ground.nested(&folder, name, ground::line());
        let (mut writes, mut wanted): (Vec<_>, Vec<Wanted>) = self.names.iter().map(nested).unzip();
        let text = ground::line();
        writes.push(Operation::Write { path: ground.path(&long), content: text.clone() });
        wanted.push((long, Digest::of(text)));
        let delivery = ground.deliver(writes, &wanted).await?;
        let strangers = if delivery.is_whole() { ground.strangers(&folder, &wanted).await? } else { Vec::new() };
        Ok(Observation { scene, delivery, strangers })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let what = "a file of this name";
        let arrival = match seen.scene.delivered(Some(&seen.delivery), what, system.sidecar_name(), self.within) {
            Ok(arrival) => arrival,
            Err(verdict) => return verdict,
        };
        let reasons = seen.scene.strange(&seen.strangers, system.sidecar_name());
        let summary = format!(
            "{} arrived under their names {} ms after the write was acknowledged: {}, and one of {} characters",
            counted(arrival.files),
            arrival.millis,
            self.names.join(", "),
            self.longest
        );
        Verdict::judged(summary, reasons).at(Hop::Sidecar)
    }
}
