//! `file-sync`: a file written to the export arrives complete in the host folder in time, and the tester can use it.

use std::num::NonZeroU16;

use futures::FutureExt;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::route::Route;
use super::samples::{self, Files, Observation};
use crate::check::parameter::DurationParam;
use crate::check::{Kind, Need, Part, Site, System};
use crate::event::{Hop, Reason, Verdict};
use crate::profile::Profile;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSync {
    /// The longest time from the acknowledged write to the file's arrival.
    pub within: DurationParam,
    /// The size of the file.
    pub bytes: NonZeroU16,
    /// How many files are written, spread evenly over one sync cycle.
    #[serde(default = "one", deserialize_with = "samples")]
    #[schemars(range(min = 1, max = MAX_SAMPLES))]
    pub samples: u32,
    /// How they are written.
    #[serde(default)]
    pub write: Write,
}

/// Each file costs the cluster a command.
const MAX_SAMPLES: u32 = 20;

fn one() -> u32 {
    1
}

fn samples<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let count = u32::deserialize(from)?;
    let refused = || D::Error::custom(format!("samples must be from 1 to {MAX_SAMPLES}, not {count}"));
    if (1..=MAX_SAMPLES).contains(&count) { Ok(count) } else { Err(refused()) }
}

/// How files are written into an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// By a command in the server's container.
    #[default]
    Exec,
    /// As clients do: with NFSv3, over a port-forward.
    Nfs,
}

impl Kind for FileSync {
    type Observation = Observation;
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

    fn sync_cycles(&self) -> Option<u8> {
        // Files written during one cycle arrive with the next.
        Some(if self.samples == 1 { 1 } else { 2 })
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        let files = Files { count: self.samples, bytes: self.bytes.get().into(), by_nfs: self.write == Write::Nfs };
        samples::send(pair, &route, files).boxed().await
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        Verdict { timeline: seen.timeline.clone().map(Box::new), ..self.verdict(system, seen) }
    }
}

impl FileSync {
    fn verdict(&self, system: &System, seen: &Observation) -> Verdict {
        if let Some(failure) = &seen.nfs_failure {
            return failure.verdict();
        }
        let profile = Profile::of(seen.samples.clone());
        let arrival =
            match seen.pair.check_arrival(seen.delivery.as_ref(), "the file", system.sidecar_name(), self.within) {
                Ok(arrival) => arrival,
                Err(verdict) => {
                    let note = |profile| {
                        format!("of {} files written during one sync cycle, these arrived: {profile}", self.samples)
                    };
                    return verdict.notes(profile.map(note).into_iter().collect());
                }
            };
        if let Some(problem) = &seen.unusable {
            let object = format!("file from pod {} in {}", seen.pair.pod, seen.pair.folder);
            let hint = "check the permissions of the folder, and whether a program locks the file";
            let reason = Reason::new(object, "to let a tester open, extend and remove it", problem).hint(hint);
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
    use crate::check::sync::delivery::tests::{arrived, judged, parameters, wrong};
    use crate::event::Outcome;

    #[test]
    fn samples_are_from_1_to_20_and_only_writing_by_nfs_needs_a_port_forward() {
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
    fn a_test_passes_only_if_the_tester_can_use_the_file() {
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
        assert_eq!(judged(&refused(&["rw", "sync"])).outcome, Outcome::Skip, "the export lacks insecure");
        let passed = judged(&json!({"samples": [28_149, 20_600, 7_800, 320]}));
        assert_eq!(passed.summary, "4 files: 0.3 to 28.1 s, median 14.2 s, p95 28.1 s; limit 1m");
    }
}
