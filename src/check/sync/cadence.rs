//! `log-cadence`: the sidecar's cycles come at the configured interval, without errors, and copy nothing twice. On a slow
//! node they may come later, as long as a file still arrives in time.
//!
//! All times are the log's own timestamps, so that no clock is compared with another. Whether something is copied again
//! although nobody changed it shows in a file of the harness's own, which nobody else knows: what clients do to theirs,
//! such as appending all the while, is their good right.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ground;
use crate::check::parameter::{Expected, Span};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::container;
use crate::cluster::{Cycle, CycleLog, Operation, ResourceExt, SyncLog, Words};
use crate::event::{Hop, Reason, Verdict};

/// So much of the log's newest line is read.
const LINE: i64 = 1 << 20;
/// So much of the log is fetched where the stream did not bring enough of it.
const MOST: i64 = 32 << 20;
/// How much longer than each of its cycles may take the sidecar is waited for.
const SLACK: SignedDuration = SignedDuration::from_secs(10);

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cadence {
    /// How far the middle one of the pauses may be from the interval, never more than half of that. A shorter one is a FAIL, a
    /// longer one a note as long as files arrive within the time that they have.
    pub tolerance: Span,
    /// How long a file may take; a longer pause and copying together take no longer.
    pub within: Span,
    /// How many cycles must be seen.
    #[serde(deserialize_with = "crate::check::parameter::some")]
    #[schemars(range(min = 1))]
    pub cycles: u8,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    expected: Expected,
    /// How long cycles were waited for, in seconds.
    waited: u64,
    cycles: Vec<Cycle>,
    /// The harness's own file.
    file: String,
    not_written: Option<String>,
    /// When the log listed it.
    listed: Vec<Timestamp>,
}

impl Kind for Cadence {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar, Part::SyncInterval];

    fn writes(&self) -> Option<u8> {
        // One cycle lists its file, and one more could do so again.
        Some(2)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(site.system.facts.sync_interval.as_ref())?;
        let Some(interval) = seconds(&expected) else {
            let object = format!("server {}", site.server());
            let number = format!("a number of seconds ({})", expected.source);
            return Err(Verdict::error(Reason::new(object, number, expected.text().unwrap_or_default())));
        };
        let (pod, _) = site.pod().await?;
        let file = site.file("cadence.txt");
        let followed = ground::followed(site, &pod)?;
        site.place(&pod, &file);
        let write = Operation::Write { path: site.path(&file.name), content: format!("copied once: {}", file.name) };
        let (_, not_written) = site.in_export(&pod, &write).await?;
        let began = Instant::now();
        // Its own cycle, and two more that could list it again.
        let each = self.within.signed().max(interval + self.tolerance.signed());
        let patience = unsigned(each * (i32::from(self.cycles) + 2) + SLACK);
        site.waiting(format!("{} sync cycles, every {interval:#}", self.cycles), patience);
        let start = newest(site, &pod).await?;
        // What was wrong long ago is past.
        let needed = (interval + self.tolerance.signed()) * i32::from(self.cycles) + SLACK;
        let since = start.checked_sub(needed).unwrap_or(Timestamp::UNIX_EPOCH);
        let cycles = |log: &CycleLog, since| -> Vec<Cycle> {
            log.said.cycles.iter().filter(|cycle| cycle.began >= since).cloned().collect()
        };
        let has_enough = |log: &CycleLog| {
            let listed = log.listings(&file.name);
            let ends = (ended(&cycles(log, since)), log.ends_after(listed.last().copied().unwrap_or(start)));
            log.is_denied() || self.is_enough(ends, listed.len())
        };
        followed.wait_while_cycles_end(unsigned(each + SLACK), began + patience, has_enough).await;
        let log = followed.log();
        if let Some(error) = log.trouble.as_ref().filter(|_| log.is_denied()) {
            return Err(site.no_answer(error));
        }
        // Those of an earlier life of the container say nothing of this one.
        let mut cycles = cycles(&log, since.max(started(site, &pod)));
        if ended(&cycles) < self.cycles.into() {
            // What the stream did not bring, because it broke or is held up on the way, an answer with an end does.
            cycles = fetched(site, &pod, since).await?;
        }
        Ok(Observation {
            pod: pod.name_any(),
            expected,
            waited: began.elapsed().as_secs(),
            cycles,
            listed: log.listings(&file.name),
            file: file.name,
            not_written,
        })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let name = system.sidecar_name();
        let object = format!("pod {}, container {name}", seen.pod);
        let look = format!("look at the log and the command of {name}");
        let mut reasons = Vec::new();
        let mut notes = Vec::new();
        for Cycle { began, errors, excuse, .. } in &seen.cycles {
            let Some(error) = errors.first() else { continue };
            if let Some(excuse) = excuse {
                notes.push(format!("{object}: a client wrote to a file while it was copied, at {began}: {excuse}"));
            } else {
                let expected = "sync cycles without errors, also where the log says Synced afterwards";
                reasons.push(Reason::new(&object, expected, format!("at {began}: {error}")).hint(&look));
            }
        }
        // One says it all.
        reasons.truncate(1);
        notes.truncate(1);
        let ended = ended(&seen.cycles);
        if ended < usize::from(self.cycles) {
            let expected = format!(
                "at least {} sync cycles, for which it was waited {} s, one every {} s ({})",
                self.cycles,
                seen.waited,
                seen.expected.text().unwrap_or_default(),
                seen.expected.source
            );
            reasons.push(Reason::new(&object, expected, format!("{ended} ended")).hint(&look));
        }
        let pause = middle(seen.cycles.iter().filter_map(|cycle| cycle.paused).collect());
        match pause.zip(seconds(&seen.expected)).map(|(pause, interval)| self.pace(seen, pause, interval)) {
            Some(Err((expected, paused))) => {
                let hint = format!("{look}; compare with sidecar.syncInterval in the values");
                reasons.push(Reason::new(&object, expected, paused).hint(hint));
            }
            Some(Ok(late)) => notes.extend(late.map(|late| format!("{object}: {late}"))),
            None => {}
        }
        let file = format!("file {} of pod {}", seen.file, seen.pod);
        if let Some(problem) = &seen.not_written {
            let reason = Reason::new(&file, "to be written into the export", problem);
            reasons.push(reason.hint("look whether the export is full or read-only"));
        }
        if let [_, _, again, ..] = seen.listed.as_slice() {
            let expected = format!("to be copied once by {name}, because nobody changed it");
            let copied = format!("copied {} times, again at {again}", seen.listed.len());
            let hint = format!("look whether {name} copies back into the export, or changes what it copied");
            reasons.push(Reason::new(file, expected, copied).hint(hint));
        }
        if reasons.is_empty()
            && let Some(unknown) = unknown(system, seen, pause)
        {
            return Verdict::error(unknown);
        }
        let pause = pause.unwrap_or_default();
        let summary = format!(
            "{ended} cycles, {pause} ms apart ({}); a file was copied and then left alone",
            seen.expected.source
        );
        Verdict::judged(summary, reasons).notes(notes).at(Hop::Sidecar)
    }
}

impl Cadence {
    /// Judges the usual pause, in milliseconds, and the usual time of copying: a note where the pause is longer, and yet files
    /// arrive in time. That a wrong interval is set is not said here: a node that is short of CPU makes pauses longer, too.
    ///
    /// # Errors
    /// What was expected and seen, where it is shorter, or so long that files do not arrive in time.
    fn pace(
        &self,
        seen: &Observation,
        pause: i64,
        interval: SignedDuration,
    ) -> Result<Option<String>, (String, String)> {
        let (Self { tolerance, within, .. }, source) = (self, &seen.expected.source);
        let copying = middle(seen.cycles.iter().filter_map(Cycle::copying).collect()).unwrap_or_default();
        let [paused, copied] = [pause, copying].map(SignedDuration::from_millis);
        // No pause at all must never be within it.
        if (paused - interval).abs() <= tolerance.signed().min(interval / 2) {
            return Ok(None);
        }
        if paused > interval && paused + copied <= within.signed() {
            return Ok(Some(format!(
                "{pause} ms instead of a pause of {interval:#} between two cycles ({source}): it is slow, and yet files \
                 arrive within {within}"
            )));
        }
        let expected = format!(
            "a pause of {interval:#} between two cycles ({source}), give or take {tolerance}, and files within {within}"
        );
        Err((expected, format!("{pause} ms, and {copying} ms of copying")))
    }

    /// Whether the log says all that it can, by the ends of cycles in all and since the file was listed last (or written),
    /// and how often it was listed. A file can be listed twice without a fault, if it was just being written when a cycle
    /// came by; only then a third cycle decides.
    fn is_enough(&self, (all, since): (usize, usize), listed: usize) -> bool {
        // Without a listing one more: a cycle may have begun before the file was there.
        let needed = if listed == 0 { 3 } else { 2 };
        all >= usize::from(self.cycles) && (since >= needed || listed > 2)
    }
}

/// When the sidecar said its newest line, by the log's own clock, which is the node's and may differ from all others.
async fn newest(site: &Site, pod: &Pod) -> Result<Timestamp, Verdict> {
    let last = site.shared.cluster.log_tail(&pod.name_any(), site.system.sidecar_name(), 1, LINE).await;
    let last = last.map_err(|error| site.no_answer(&error))?;
    Ok(last.last().map_or(Timestamp::UNIX_EPOCH, |(stamp, _)| *stamp))
}

/// When the sidecar began to run.
fn started(site: &Site, pod: &Pod) -> Timestamp {
    let population = site.shared.watch.population().ok();
    let is_it = |other: &&Arc<Pod>| other.metadata.uid == pod.metadata.uid;
    let now = population.as_ref().and_then(|population| population.pods.iter().find(is_it)).map_or(pod, |pod| pod);
    let view = container::named(now, site.system.sidecar_name());
    view.and_then(|view| view.running_since()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The cycles that the log has since a moment.
async fn fetched(site: &Site, pod: &Pod, since: Timestamp) -> Result<Vec<Cycle>, Verdict> {
    let log = site.shared.cluster.log(&pod.name_any(), site.system.sidecar_name(), Some(since), MOST).await;
    let lines = log.map_err(|error| site.no_answer(&error))?;
    Ok(site.system.words().map(|words| SyncLog::read(&lines, &words).cycles).unwrap_or_default())
}

/// What is missing for a judgement.
fn unknown(system: &System, seen: &Observation, pause: Option<i64>) -> Option<Reason> {
    let came_after = |listed: Timestamp| seen.cycles.iter().any(|it| it.began > listed && it.ended.is_some());
    let expected = match seen.listed.first() {
        _ if pause.is_none() => format!(
            "a line like {} right after one that ends a cycle",
            system.words().as_ref().map_or("", Words::begin)
        ),
        None => format!("a line for the file {}, which was written into the export", seen.file),
        Some(first) if !came_after(*first) => format!("one more cycle after the one that copied {}", seen.file),
        Some(_) => return None,
    };
    let object = format!("log of pod {}, container {}", seen.pod, system.sidecar_name());
    let hint = "is rsync run with -v? If a test of the way to the folder fails too, look at that first";
    Some(Reason::new(object, expected, "none").hint(hint))
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

fn ended(cycles: &[Cycle]) -> usize {
    cycles.iter().filter(|cycle| cycle.ended.is_some()).count()
}

fn seconds(expected: &Expected) -> Option<SignedDuration> {
    let seconds: i64 = expected.text()?.parse().ok()?;
    (seconds > 0).then(|| SignedDuration::from_secs(seconds))
}

/// The middle one: a machine that slept makes one pause long, and that is no fault.
fn middle(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::system::tests::system;
    use crate::event::Outcome;

    /// Every 30 s, give or take 3 s, and files within 40 s.
    fn check() -> Cadence {
        serde_json::from_value(json!({
            "tolerance": "3s", "within": "40s", "cycles": 3
        }))
        .unwrap()
    }

    /// Cycles that should come so many seconds apart, pause for so many milliseconds each, and take 2 s.
    fn judged(interval: u8, pauses: &[Value], errors: &[&str], listed: &[&str]) -> Verdict {
        let at = |index: usize, seconds: u8| format!("2026-11-21T03:0{index}:0{seconds}Z");
        let cycle = |(index, paused): (usize, &Value)| json!({"began": at(index, 0), "ended": at(index, 2), "paused": paused, "errors": errors, "excuse": null});
        let cycles: Vec<_> = pauses.iter().enumerate().map(cycle).collect();
        let seen = json!({
            "pod": "p", "expected": {"value": interval, "source": "test"}, "waited": 60, "cycles": cycles,
            "file": "x", "not_written": null, "listed": listed
        });
        check().judge(&system(), &serde_json::from_value(seen).unwrap())
    }

    #[test]
    fn cycles_are_judged_by_their_pauses_errors_and_what_they_copy() {
        let once = ["2026-11-21T03:00:30Z"];
        let thrice = [once[0], "2026-11-21T03:01:00Z", "2026-11-21T03:01:30Z"];
        let paused = |millis: &[i64]| [vec![Value::Null], millis.iter().map(|pause| json!(pause)).collect()].concat();
        let steady = || paused(&[30_040, 30_160]);
        for (interval, pauses, errors, listed, outcome, why) in [
            (30, steady(), &[][..], &once[..], Outcome::Pass, "steady"),
            (30, paused(&[30_040, 8_000_000, 30_010]), &[], &once, Outcome::Pass, "the machine slept once"),
            (30, steady(), &[], &thrice[..2], Outcome::Pass, "it was being written in the first cycle"),
            (30, steady(), &[], &thrice, Outcome::Fail, "copied again and again"),
            (30, steady(), &["rsync error: (code 11)"], &once, Outcome::Fail, "an error"),
            (30, paused(&[27_000, 27_000]), &[], &once, Outcome::Pass, "within the tolerance"),
            (30, paused(&[26_999, 26_999]), &[], &once, Outcome::Fail, "too short"),
            (30, paused(&[33_000, 33_000]), &[], &once, Outcome::Pass, "within the tolerance"),
            (30, paused(&[33_001, 33_001]), &[], &once, Outcome::Pass, "late"),
            (30, paused(&[38_000, 38_000]), &[], &once, Outcome::Pass, "late"),
            (30, paused(&[38_001, 38_001]), &[], &once, Outcome::Fail, "too long"),
            (2, paused(&[1_000, 1_000]), &[], &once, Outcome::Pass, "half of a short interval"),
            (2, paused(&[999, 999]), &[], &once, Outcome::Fail, "less than half of it"),
            (30, paused(&[]), &[], &[], Outcome::Fail, "too few"),
            (30, vec![], &[], &[], Outcome::Fail, "none"),
            (30, steady(), &[], &[], Outcome::Error, "the file was never listed"),
            (30, vec![Value::Null; 3], &[], &once, Outcome::Error, "no pause is known"),
            (30, steady(), &[], &["2026-11-21T03:02:00Z"], Outcome::Error, "no cycle after the copy"),
        ] {
            let verdict = judged(interval, &pauses, errors, listed);
            assert_eq!(verdict.outcome, outcome, "{why}: {verdict:?}");
            assert_eq!(verdict.notes.len(), usize::from(why == "late"), "{why}: {verdict:?}");
        }
    }

    #[test]
    fn it_waits_for_its_cycles_and_for_one_after_the_listing() {
        let is_enough = |all, since, listed| check().is_enough((all, since), listed);
        assert!(is_enough(3, 2, 1) && is_enough(3, 1, 3) && is_enough(3, 3, 0));
        assert!(!is_enough(2, 2, 1), "too few cycles");
        assert!(!is_enough(3, 1, 1) && !is_enough(3, 1, 2), "it may be listed again");
        assert!(!is_enough(3, 2, 0), "the file may have come in the middle of a cycle");
        let read = |value: Value| seconds(&Expected { value: Some(value), source: "test".into() });
        assert_eq!([json!(1), json!(0), json!("often")].map(read), [Some(SignedDuration::from_secs(1)), None, None]);
    }
}
