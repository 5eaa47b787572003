//! `file-sync`: a file written into the export appears in the host folder, whole, in time, and is the tester's.

use std::num::NonZeroU16;

use futures::FutureExt;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::delivery::{self, Files, Sent};
use super::ground::Ground;
use crate::check::parameter::Span;
use crate::check::{Kind, Need, Part, Site, System};
use crate::event::{Hop, Reason, Verdict};
use crate::profile::Profile;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSync {
    /// The longest time from the acknowledged write to the file's arrival.
    pub within: Span,
    /// The size of the file.
    pub bytes: NonZeroU16,
    /// How many files are written, spread evenly over one cycle of the sidecar.
    #[serde(default = "one", deserialize_with = "samples")]
    #[schemars(range(min = 1, max = MOST))]
    pub samples: u32,
    /// How they are written.
    #[serde(default)]
    pub write: Write,
}

/// The most files that a profile of times is made of: each costs the cluster a command.
const MOST: u32 = 20;

fn one() -> u32 {
    1
}

fn samples<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let count = u32::deserialize(from)?;
    let refused = || D::Error::custom(format!("samples must be from 1 to {MOST}, not {count}"));
    if (1..=MOST).contains(&count) { Ok(count) } else { Err(refused()) }
}

/// How files are written into an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// By a command in the server's container.
    #[default]
    Exec,
    /// As clients do it: with NFSv3, over a port-forward.
    Nfs,
}

impl Kind for FileSync {
    type Observation = Sent;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];
    const MAY_NEED: &'static [Need] = &[Need::PortForward];

    fn needs(&self) -> &'static [Need] {
        match self.write {
            Write::Exec => Self::NEEDS,
            Write::Nfs => &[Need::Folder, Need::Commands, Need::Logs, Need::PortForward],
        }
    }

    fn writes(&self) -> Option<u8> {
        // Those that are written over one cycle arrive with the next.
        Some(if self.samples == 1 { 1 } else { 2 })
    }

    async fn observe(&self, site: &Site) -> Result<Sent, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        let files = Files { count: self.samples, bytes: self.bytes.get().into(), by_nfs: self.write == Write::Nfs };
        delivery::send(scene, &ground, files).boxed().await
    }

    fn judge(&self, system: &System, seen: &Sent) -> Verdict {
        Verdict { timeline: seen.timeline.clone().map(Box::new), ..self.outcome(system, seen) }
    }
}

impl FileSync {
    fn outcome(&self, system: &System, seen: &Sent) -> Verdict {
        if let Some(unserved) = &seen.unserved {
            return unserved.verdict();
        }
        let profile = Profile::of(seen.samples.clone());
        let arrival = match seen.scene.delivered(seen.delivery.as_ref(), "a file", system.sidecar_name(), self.within) {
            Ok(arrival) => arrival,
            Err(verdict) => {
                let note =
                    |profile| format!("of {} files written over one cycle, these arrived: {profile}", self.samples);
                return verdict.notes(profile.map(note).into_iter().collect());
            }
        };
        if let Some(problem) = &seen.unusable {
            let object = format!("a file of pod {} in {}", seen.scene.pod, seen.scene.folder);
            let hint = "look at the permissions of the folder and whether a program holds the file open";
            let reason = Reason::new(object, "to be opened, extended and removed by the user", problem).hint(hint);
            return Verdict::fail(reason).at(Hop::Host);
        }
        let how = match profile {
            Some(profile) if seen.samples.len() > 1 => profile.to_string(),
            _ => format!("arrived {} ms after the write was acknowledged", arrival.millis),
        };
        Verdict::pass(format!("{how}; limit {}", self.within))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::sync::scene::tests::{arrived, judged, parameters, wrong};
    use crate::event::Outcome;

    #[test]
    fn samples_are_from_1_to_20_and_a_port_is_forwarded_only_where_files_are_written_by_nfs() {
        let read = |samples: u32, write: &str| {
            let others = json!({"bytes": 4096, "samples": samples, "write": write});
            serde_json::from_value::<FileSync>(parameters(&others))
        };
        for count in [0, 21] {
            let refused = read(count, "exec").unwrap_err().to_string();
            assert!(refused.contains(&format!("samples must be from 1 to 20, not {count}")), "{refused}");
        }
        let needs = |write| read(1, write).unwrap().needs().contains(&Need::PortForward);
        assert_eq!(["exec", "nfs"].map(needs), [false, true]);
    }

    #[test]
    fn only_a_file_that_the_tester_can_use_passes() {
        let judged = |changes: &Value| {
            let seen = json!({"delivery": arrived(), "samples": [900]});
            judged::<FileSync>(&json!({"bytes": 4096, "samples": 4}), &seen, changes)
        };
        let refused = |live: &[&str]| {
            let trouble = json!({"call": "MOUNT /data", "what": {"Refused": "MNT3ERR_ACCES"}});
            json!({"unserved": {"object": "NFS server of pod p", "trouble": trouble, "answered": 1, "live": live}})
        };
        for (changes, outcome, hop) in [
            (json!({}), Outcome::Pass, None),
            (json!({"delivery": wrong(false)}), Outcome::Fail, Some(Hop::Sidecar)),
            (json!({"unusable": "denied"}), Outcome::Fail, Some(Hop::Host)),
            (json!({"delivery": null}), Outcome::Error, None),
            (refused(&["rw", "insecure"]), Outcome::Fail, Some(Hop::Nfs)),
        ] {
            let verdict = judged(&changes);
            assert_eq!((verdict.outcome, verdict.hop), (outcome, hop), "{changes}");
        }
        assert_eq!(judged(&refused(&["rw", "sync"])).outcome, Outcome::Skip, "it lacks insecure");
        let passed = judged(&json!({"samples": [28_149, 20_600, 7_800, 320]}));
        assert_eq!(passed.summary, "4 files: 0.3 to 28.1 s, median 14.2 s, p95 28.1 s; limit 1m");
    }
}
