//! `large-file`: a file that is written across several sync cycles arrives complete, and never shrinks for its readers.

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::sizes::{Sizes, follow};
use crate::check::findings::listed;
use crate::check::parameter::DurationParam;
use crate::check::pod::quantity;
use crate::check::sync::delivery::{Arrival, Delivery, SyncPair, WrongFile};
use crate::check::sync::route::{self, Route};
use crate::check::{Export, Kind, Need, Part, Site, System, millis};
use crate::cluster::{Operation, ResourceExt, container};
use crate::digest::Digest;
use crate::event::{Hop, Reason, Verdict};

/// The free space in the export must be this many times the file's size: beyond its limit the pod is evicted without an error.
const ROOM: f64 = 4.0;
const LARGE: &str = "large.bin";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LargeFile {
    /// The longest time from the last write to the complete file's arrival, and for each sync cycle.
    pub within: DurationParam,
    /// The size of the file.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub bytes: usize,
    /// How many sync cycles copy a part of it before the last part is written.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub cycles: u8,
    /// The size of the pieces that it is written in, with one command each.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub piece: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    #[serde(rename = "scene")]
    pair: SyncPair,
    no_room: Option<String>,
    delivery: Option<Delivery>,
    sizes: Sizes,
    #[serde(rename = "strangers")]
    unexpected: Vec<String>,
}

impl Kind for LargeFile {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Export, Hop::Sidecar, Hop::Host];
    const NEEDS: &'static [Need] = &[Need::Folder, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar];

    fn sync_cycles(&self) -> Option<u8> {
        Some(self.cycles.saturating_add(1))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pair, route) = Route::open(site, self.within).await?;
        let mut seen =
            Observation { pair, no_room: None, delivery: None, sizes: Sizes::default(), unexpected: Vec::new() };
        seen.no_room = self.no_room(&route).await?;
        if seen.no_room.is_some() {
            return Ok(seen);
        }
        let folder = route.register("large").name;
        let name = format!("{folder}/{LARGE}");
        let sizes = watch::Sender::new(Sizes::default());
        let writing = self.write(&route, &folder, &name, sizes.subscribe());
        let delivery = tokio::select! {
            delivery = writing => delivery,
            never = follow(&site.shared.host, site.server(), &folder, &name, &sizes) => match never {},
        };
        seen.sizes = sizes.borrow().clone();
        seen.delivery = match delivery {
            // That it shrank is certain, whatever happened next.
            Err(_) if matches!(seen.sizes.shrunk, Some((_, Some(_)))) => None,
            delivery => Some(delivery?),
        };
        if seen.delivery.as_ref().is_some_and(Delivery::is_complete) {
            seen.unexpected = route.unexpected_files(&folder, &[(name, Digest::default())]).await?;
        }
        Ok(seen)
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        if let Some(why) = &seen.no_room {
            return Verdict::skip(why);
        }
        let file = format!("the file of {} bytes", self.bytes);
        let delivered = seen.pair.check_arrival(seen.delivery.as_ref(), &file, system.sidecar_name(), self.within);
        let (mut reasons, millis) = match delivered {
            Ok(arrival) => (Vec::new(), arrival.millis),
            // That it shrank is worse.
            Err(verdict) if seen.sizes.shrunk.is_none() => return verdict,
            Err(verdict) => (if seen.delivery.is_some() { verdict.reasons } else { Vec::new() }, 0),
        };
        if let Some((before, after)) = seen.sizes.shrunk {
            let object = format!("file {LARGE} from pod {} in {}", seen.pair.pod, seen.pair.folder);
            let expected = "never to shrink while it grows in the export";
            let after = after.map_or("nothing".to_owned(), |after| format!("{after} bytes"));
            let hint = format!(
                "check whether {} writes in place (--inplace, cp) or removes the file first; by default rsync renames a \
                 complete copy",
                system.sidecar_name()
            );
            reasons.insert(
                0,
                Reason::new(object, expected, format!("it shrank from {before} bytes to {after}")).hint(hint),
            );
        }
        reasons.extend(seen.pair.unexpected_files(&seen.unexpected, system.sidecar_name()));
        let sizes = listed(&seen.sizes.seen);
        let summary = format!(
            "{} bytes, written across {} sync cycles, arrived complete {millis} ms after the last write; sizes seen: \
             {sizes}; no temporary files left",
            self.bytes, self.cycles
        );
        Verdict::judged(summary, reasons).at(Hop::Sidecar)
    }
}

impl LargeFile {
    /// Why the export lacks space for the file; a volume without a limit has space.
    async fn no_room(&self, route: &Route<'_>) -> Result<Option<String>, Verdict> {
        let Some(limit) = limit(&route.pod, &route.site.system.export) else { return Ok(None) };
        let folder = &route.site.system.export.folder;
        let (outputs, problem) = route.run(vec![Operation::DiskUsage { folder: folder.clone() }]).await?;
        let text: String = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
        let used = text.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok());
        let Some(used) = used.filter(|_| problem.is_none()) else {
            let object = format!("export {folder} of pod {}", route.pod.name_any());
            let seen = problem.unwrap_or_else(|| format!("`{}`", text.trim()));
            return Err(Verdict::error(Reason::new(object, "its disk usage", seen)));
        };
        let free = limit - used * 1024.0;
        #[allow(clippy::cast_precision_loss, reason = "single bytes do not matter")]
        let needed = ROOM * self.bytes as f64;
        Ok((free < needed).then(|| {
            let [limit, free, needed] = [limit, free, needed].map(quantity::memory);
            format!(
                "{free} of {limit} are free in the export, and {needed} are required: beyond the limit the pod is evicted"
            )
        }))
    }

    /// Writes the file piece by piece, and waits after each part until a sync cycle has copied it.
    async fn write(
        &self,
        route: &Route<'_>,
        folder: &str,
        name: &str,
        mut sizes: watch::Receiver<Sizes>,
    ) -> Result<Delivery, Verdict> {
        let mut content = Digest::default();
        let (make, _) = route.nested(folder, LARGE, String::new());
        if let (_, Some(problem)) = route.run(vec![make]).await? {
            return Ok(Delivery(Err(problem)));
        }
        let parts = usize::from(self.cycles) + 1;
        let (mut listed, mut written_bytes) = (0, 0);
        for part in 1..=parts {
            let what = format!("part {part} of {parts} of a file of {} bytes", self.bytes);
            route.site.waiting(what, route.within.0);
            let until = if part == parts { self.bytes } else { self.bytes / parts * part };
            listed = route.listing_count(name);
            while written_bytes < until {
                let (line, bytes) = (route::random_line(), self.piece.max(1).min(until - written_bytes));
                let append = Operation::Append { path: route.path(name), line: line.clone(), bytes };
                if let (_, Some(problem)) = route.run(vec![append]).await? {
                    return Ok(Delivery(Err(problem)));
                }
                content.add(&Operation::filling(&line, bytes));
                written_bytes += bytes;
            }
            if part == parts {
                break;
            }
            // Wait until a cycle has copied this part, and ended.
            let written = Instant::now();
            let limit = written + route.within.0;
            let here = sizes.wait_for(|sizes| sizes.now.is_some_and(|size| size >= until as u64));
            if tokio::time::timeout_at(limit, here).await.is_err() {
                route.site.require_host_folder().await?;
                let arrived = sizes.borrow().now.map_or("no such file".to_owned(), |bytes| format!("{bytes} bytes"));
                let wrong = WrongFile {
                    name: name.to_owned(),
                    had_arrived: false,
                    seen: format!("{arrived}, of {until} written so far"),
                    trace: Some(route.trace(name, &content, written).await),
                };
                return Ok(Delivery(Ok(Arrival { files: 1, millis: millis(route.within.0), wrong: vec![wrong] })));
            }
            route.wait_for_cycles(1).await?;
        }
        let written = Instant::now();
        let bytes = content.bytes();
        // Do not read it before it has its final size.
        let here = sizes.wait_for(|sizes| sizes.now == Some(bytes));
        let _ = tokio::time::timeout_at(written + route.within.0, here).await;
        route.follow(&[(name.to_owned(), content)], &[listed], written).await
    }
}

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
    use crate::check::sync::delivery::tests::{arrived, judged, wrong};
    use crate::check::system::tests::system;
    use crate::cluster::example::output_pod;
    use crate::event::Outcome;

    #[test]
    fn it_must_arrive_complete_and_never_shrink() {
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
