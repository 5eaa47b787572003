//! `large-file`: a file that is written across several cycles ends whole, and nobody here ever sees less of it than
//! before.

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::sizes::{Sizes, follow};
use crate::check::findings::listed;
use crate::check::parameter::Span;
use crate::check::pod::quantity;
use crate::check::sync::ground::{self, Ground};
use crate::check::sync::scene::{Arrival, Delivery, Scene, Wrong};
use crate::check::{Export, Kind, Need, Part, Site, System, millis};
use crate::cluster::{Operation, ResourceExt, container};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};

/// So many times the file's size must be free in the export: beyond its limit the pod is evicted, with no error before.
const ROOM: f64 = 4.0;
/// The file's name in its folder.
const LARGE: &str = "large.bin";
/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LargeFile {
    /// The longest time from the last write to the whole file's arrival, and until each cycle has ended.
    pub within: Span,
    /// The size of the whole file.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub bytes: usize,
    /// How many cycles copy it before the last part is written.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub cycles: u8,
    /// The size of the pieces that it is written in: one command each.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub piece: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    scene: Scene,
    no_room: Option<String>,
    delivery: Option<Delivery>,
    sizes: Sizes,
    /// What else was in the folder.
    strangers: Vec<String>,
}

impl Kind for LargeFile {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn writes(&self) -> Option<u8> {
        Some(self.cycles.saturating_add(1))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (scene, ground) = Ground::enter(site, self.within).await?;
        let mut seen =
            Observation { scene, no_room: None, delivery: None, sizes: Sizes::default(), strangers: Vec::new() };
        seen.no_room = self.no_room(&ground).await?;
        if seen.no_room.is_some() {
            return Ok(seen);
        }
        let folder = ground.place("large").name;
        let name = format!("{folder}/{LARGE}");
        let sizes = watch::Sender::new(Sizes::default());
        let writing = self.write(&ground, &folder, &name, sizes.subscribe());
        let delivery = tokio::select! {
            delivery = writing => delivery,
            never = follow(&site.shared.host, site.server(), &folder, &name, &sizes) => match never {},
        };
        seen.sizes = sizes.borrow().clone();
        seen.delivery = match delivery {
            // That less of it was seen is known, however it went on.
            Err(_) if matches!(seen.sizes.shrunk, Some((_, Some(_)))) => None,
            delivery => Some(delivery?),
        };
        if seen.delivery.as_ref().is_some_and(Delivery::is_whole) {
            seen.strangers = ground.strangers(&folder, &[(name, Digest::default())]).await?;
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        if let Some(why) = &seen.no_room {
            return Verdict::skip(why);
        }
        let file = format!("the file of {} bytes", self.bytes);
        let delivered = seen.scene.delivered(seen.delivery.as_ref(), &file, system.sidecar_name(), self.within);
        let (mut reasons, millis) = match delivered {
            Ok(arrival) => (Vec::new(), arrival.millis),
            // That it shrank says more.
            Err(verdict) if seen.sizes.shrunk.is_none() => return verdict,
            Err(verdict) => (if seen.delivery.is_some() { verdict.reasons } else { Vec::new() }, 0),
        };
        if let Some((before, after)) = seen.sizes.shrunk {
            let object = format!("{LARGE} of pod {} in {}", seen.scene.pod, seen.scene.folder);
            let expected = "never less of it than was there before, while it only grew in the export";
            let after = after.map_or("no file of that name".to_owned(), |after| format!("{after} bytes"));
            let hint = format!(
                "look whether {} writes in place, with --inplace or cp, or removes the file first; rsync renames",
                system.sidecar_name()
            );
            reasons.insert(0, Reason::new(object, expected, format!("{after} after {before}")).hint(hint));
        }
        reasons.extend(seen.scene.strange(&seen.strangers, system.sidecar_name()));
        let sizes = listed(&seen.sizes.seen);
        let summary = format!(
            "{} bytes, written across {} cycles, were whole {millis} ms after the last write; sizes seen here: \
             {sizes}; no temporary left",
            self.bytes, self.cycles
        );
        Verdict::judged(summary, reasons).at(Hop::Sidecar)
    }
}

impl LargeFile {
    /// Why there is too little room for the file; a volume without a limit has room.
    async fn no_room(&self, ground: &Ground<'_>) -> Result<Option<String>, Verdict> {
        let Some(limit) = limit(&ground.pod, &ground.site.system.export) else { return Ok(None) };
        let folder = &ground.site.system.export.folder;
        let (outputs, problem) = ground.perform(vec![Operation::DiskUsage { folder: folder.clone() }]).await?;
        let text: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
        let used = text.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok());
        let Some(used) = used.filter(|_| problem.is_none()) else {
            let object = format!("export {folder} of pod {}", ground.pod.name_any());
            let said = problem.unwrap_or_else(|| format!("`{}`", text.trim()));
            return Err(Verdict::error(Reason::new(object, "to tell how much is in it", said)));
        };
        let free = limit - used * 1024.0;
        #[allow(clippy::cast_precision_loss, reason = "it is no question of single bytes")]
        let needed = ROOM * self.bytes as f64;
        Ok((free < needed).then(|| {
            let [limit, free, needed] = [limit, free, needed].map(quantity::memory);
            format!(
                "{free} of {limit} are free in the export, and {needed} should be: beyond the limit the pod is evicted"
            )
        }))
    }

    /// Writes the file piece by piece, and waits for a cycle to copy each part of it.
    async fn write(
        &self,
        ground: &Ground<'_>,
        folder: &str,
        name: &str,
        mut sizes: watch::Receiver<Sizes>,
    ) -> Result<Delivery, Verdict> {
        let mut content = Digest::default();
        let (make, _) = ground.nested(folder, LARGE, String::new());
        if let (_, Some(problem)) = ground.perform(vec![make]).await? {
            return Ok(Delivery(Err(problem)));
        }
        let parts = usize::from(self.cycles) + 1;
        let (mut listed, mut written_bytes) = (0, 0);
        for part in 1..=parts {
            let what = format!("part {part} of {parts} of a file of {} bytes", self.bytes);
            ground.site.waiting(what, ground.within.0);
            let until = if part == parts { self.bytes } else { self.bytes / parts * part };
            listed = ground.listed(name);
            while written_bytes < until {
                let (line, bytes) = (ground::line(), self.piece.max(1).min(until - written_bytes));
                let append = Operation::Append { path: ground.path(name), line: line.clone(), bytes };
                if let (_, Some(problem)) = ground.perform(vec![append]).await? {
                    return Ok(Delivery(Err(problem)));
                }
                content.add(&Operation::filling(&line, bytes));
                written_bytes += bytes;
            }
            if part == parts {
                break;
            }
            // A cycle has copied it so far, and ended.
            let written = Instant::now();
            let limit = written + ground.within.0;
            let here = sizes.wait_for(|sizes| sizes.now.is_some_and(|size| size >= until as u64));
            if tokio::time::timeout_at(limit, here).await.is_err() {
                ground.site.still_there().await?;
                let there =
                    sizes.borrow().now.map_or("no file of that name".to_owned(), |bytes| format!("{bytes} bytes"));
                let wrong = Wrong {
                    name: name.to_owned(),
                    had_arrived: false,
                    seen: format!("{there}, of the {until} that it had by then"),
                    trail: Some(ground.search(name, &content, written).await),
                };
                return Ok(Delivery(Ok(Arrival { files: 1, millis: millis(ground.within.0), wrong: vec![wrong] })));
            }
            ground.ends(1).await?;
        }
        let written = Instant::now();
        let whole = content.bytes();
        // Only when it is long enough is it worth reading.
        let here = sizes.wait_for(|sizes| sizes.now == Some(whole));
        let _ = tokio::time::timeout_at(written + ground.within.0, here).await;
        ground.follow(&[(name.to_owned(), content)], &[listed], written).await
    }
}

/// The size limit of the volume that the export is in.
fn limit(pod: &Pod, export: &Export) -> Option<f64> {
    let view = container::named(pod, &export.container)?;
    let mount = view.mounts.iter().find(|mount| mount.mount_path.trim_end_matches('/') == export.folder)?;
    let volume = pod.spec.as_ref()?.volumes.as_ref()?.iter().find(|volume| volume.name == mount.name)?;
    let limit = quantity::number(&volume.empty_dir.as_ref()?.size_limit.as_ref()?.0)?;
    (limit > 0.0).then_some(limit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::sync::scene::tests::{arrived, judged, wrong};
    use crate::check::system::tests::system;
    use crate::cluster::example::output_pod;
    use crate::event::Outcome;

    #[test]
    fn it_must_end_whole_and_never_shrink() {
        let parameters = json!({"bytes": 1000, "cycles": 2, "piece": 100});
        let sizes = json!({"seen": [300, 1000], "shrunk": null});
        let seen = json!({"no_room": null, "delivery": arrived(), "sizes": sizes, "strangers": []});
        let shrunk = |after: Value| json!({"seen": [300], "shrunk": [300, after]});
        for (changes, outcome) in [
            (json!({}), Outcome::Pass),
            (json!({"delivery": wrong(false)}), Outcome::Fail),
            (json!({"sizes": shrunk(json!(12))}), Outcome::Fail),
            (json!({"sizes": shrunk(Value::Null)}), Outcome::Fail),
            // No cycle ended after it shrank.
            (json!({"delivery": null, "sizes": shrunk(json!(12))}), Outcome::Fail),
            (json!({"strangers": ["l/.large.bin.Ab3dEf"]}), Outcome::Fail),
            (json!({"no_room": "12Mi are free", "delivery": null}), Outcome::Skip),
            (json!({"delivery": null}), Outcome::Error),
        ] {
            assert_eq!(judged::<LargeFile>(&parameters, &seen, &changes).outcome, outcome, "{changes}");
        }
    }

    #[test]
    fn the_limit_is_that_of_the_exports_volume() {
        let pod = serde_json::from_value(output_pod()).unwrap();
        let limit = |folder: &str| limit(&pod, &Export { folder: folder.into(), ..system().export });
        assert_eq!([limit("/data"), limit("/elsewhere")], [Some(f64::from(500 << 20)), None]);
    }
}
