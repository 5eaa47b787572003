//! `log-cadence`: the sidecar's sync cycles keep the configured interval, have no errors, and copy nothing twice. On a slow
//! node they may be later, as long as a file still arrives in time.
//!
//! All times are the log's timestamps, so that no two clocks are compared. Whether unchanged files are copied again shows in the
//! test's file, which no client changes; clients may append to theirs at any time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::log::{self, Wait};
use super::route;
use crate::check::findings::Findings;
use crate::check::parameter::{DurationParam, Expected};
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::{Cycle, LogPatterns, Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

/// Added to every wait for sync cycles.
const SLACK: SignedDuration = SignedDuration::from_secs(10);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogCadence {
    /// Maximum difference between the median pause and the sync interval, capped at half the interval. A shorter pause is a
    /// FAIL; a longer one is a note while files arrive within `within`.
    pub tolerance: DurationParam,
    /// Maximum latency of a file: one pause plus the copying after it.
    pub within: DurationParam,
    /// Minimum number of completed sync cycles.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(range(min = 1))]
    pub cycles: u8,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    expected: Expected,
    /// How long the test waited, in seconds.
    waited: u64,
    cycles: Vec<Cycle>,
    file: String,
    not_written: Option<String>,
    listed: Vec<Timestamp>,
}

impl Kind for LogCadence {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Sidecar];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Commands, Need::Logs];
    const PARTS: &'static [Part] = &[Part::Sidecar, Part::SyncInterval];

    fn sync_cycles(&self) -> Option<u8> {
        // One cycle copies the file, and one more could copy it again.
        Some(2)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(site.system.facts.sync_interval.as_ref())?;
        let Some(interval) = seconds(&expected) else {
            let object = format!("server {}", site.server());
            let interval = format!("a sync interval in seconds ({})", expected.source);
            return Err(Verdict::error(Reason::new(object, interval, expected.text().unwrap_or_default())));
        };
        let (pod, _) = site.pod().await?;
        let file = site.file("cadence.txt");
        let log = route::require_followed_log(site, &pod)?;
        site.register(&pod, &file);
        let write = Operation::Write { path: site.path(&file.name), content: format!("copied once: {}", file.name) };
        let (_, not_written) = site.in_export(&pod, &write).await?;
        let began = Instant::now();
        // Two more cycles: the one that copies the file, and one that could copy it again.
        let each = self.within.signed().max(interval + self.tolerance.signed());
        let timeout = unsigned(each * (i32::from(self.cycles) + 2) + SLACK);
        site.waiting(format!("{} sync cycles, one every {interval:#}", self.cycles), timeout);
        // Older cycles do not count.
        let past = (interval + self.tolerance.signed()) * i32::from(self.cycles) + SLACK;
        let wait = Wait { cycles: self.cycles, cycle_timeout: unsigned(each + SLACK), deadline: began + timeout, past };
        let (cycles, listed) = log::watch(site, &pod, &log, &file.name, wait).await?;
        Ok(Observation {
            pod: pod.name_any(),
            expected,
            waited: began.elapsed().as_secs(),
            cycles,
            listed,
            file: file.name,
            not_written,
        })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let name = system.sidecar_name();
        let object = format!("pod {}, container {name}", seen.pod);
        let read = format!("read the log of {name}, and check its command");
        let mut found = Findings::default();
        errors(&mut found, &object, &read, &seen.cycles);
        let (ended, source) = (log::ended(&seen.cycles), &seen.expected.source);
        if ended < usize::from(self.cycles) {
            let (waited, interval) = (seen.waited, seen.expected.text().unwrap_or_default());
            let expected =
                format!("at least {} sync cycles within {waited} s, one every {interval} s ({source})", self.cycles);
            found.add_finding(&object, expected, format!("{ended} ended"), &read);
        }
        let pause = median(seen.cycles.iter().filter_map(|cycle| cycle.paused).collect());
        if let Some((pause, interval)) = pause.zip(seconds(&seen.expected)) {
            self.pace(&mut found, [&object, &read], seen, (pause, interval));
        }
        let file = format!("file {} from pod {}", seen.file, seen.pod);
        if let Some(problem) = &seen.not_written {
            found.add_finding(
                &file,
                "to be written to the export",
                problem,
                "check whether the export is full or read-only",
            );
        }
        if let [_, _, again, ..] = seen.listed.as_slice() {
            let expected = format!("to be copied once by {name}, because it does not change");
            let copied = format!("copied {} times, again at {again}", seen.listed.len());
            let hint = format!("check whether {name} copies back to the export, or changes what it copied");
            found.add_finding(file, expected, copied, hint);
        }
        if let Some(missing) = missing_line(system, seen, pause).filter(|_| found.passes()) {
            return Verdict::error(missing);
        }
        let pause = pause.unwrap_or_default();
        let summary =
            format!("{ended} sync cycles, median pause {pause} ms ({source}); an unchanged file was not copied again");
        found.verdict(summary).at(Hop::Sidecar)
    }
}

impl LogCadence {
    /// Judges the median pause, in milliseconds, and the median time of copying. A longer pause is a note while files arrive in
    /// time: a node that is short of CPU pauses longer too, and `sidecar-set-up` fails for a wrong interval.
    fn pace(
        &self,
        found: &mut Findings,
        [object, read]: [&str; 2],
        seen: &Observation,
        (pause, interval): (i64, SignedDuration),
    ) {
        let (Self { tolerance, within, .. }, source) = (self, &seen.expected.source);
        let copying = median(seen.cycles.iter().filter_map(Cycle::copying).collect()).unwrap_or_default();
        let [paused, copied] = [pause, copying].map(SignedDuration::from_millis);
        // At most half of the interval, so that a sidecar without pauses always fails.
        if (paused - interval).abs() <= tolerance.signed().min(interval / 2) {
            return;
        }
        if paused > interval && paused + copied <= within.signed() {
            return found.note(format!(
                "{object}: it pauses for {pause} ms instead of {interval:#} between two sync cycles ({source}): slow, but \
                 files arrive within {within}"
            ));
        }
        let expected = format!(
            "a pause of {interval:#} between two sync cycles ({source}), give or take {tolerance}, and files within {within}"
        );
        let hint = format!("{read}; compare with sidecar.syncInterval in the values");
        found.add_finding(object, expected, format!("a pause of {pause} ms, and {copying} ms of copying"), hint);
    }
}

/// The first error is a finding, and the first excused one is a note.
fn errors(found: &mut Findings, object: &str, read: &str, cycles: &[Cycle]) {
    let failed = || cycles.iter().filter_map(|cycle| Some((cycle, cycle.errors.first()?)));
    if let Some((Cycle { began, .. }, error)) = failed().find(|(cycle, _)| cycle.excuse.is_none()) {
        let expected = "sync cycles without errors, even where the log reports Synced afterwards";
        found.add_finding(object, expected, format!("at {began}: {error}"), read);
    }
    if let Some((began, excuse)) = failed().find_map(|(cycle, _)| Some((cycle.began, cycle.excuse.as_ref()?))) {
        found.note(format!(
            "{object}: a client or a test changed or removed a file while it was copied, at {began}: {excuse}"
        ));
    }
}

fn missing_line(system: &System, seen: &Observation, pause: Option<i64>) -> Option<Reason> {
    let has_later_cycle = |listed: Timestamp| seen.cycles.iter().any(|it| it.began > listed && it.ended.is_some());
    let expected = match seen.listed.first() {
        _ if pause.is_none() => format!(
            "a line like {} right after a line that ends a sync cycle",
            system.log_patterns().as_ref().map_or("", LogPatterns::begin)
        ),
        None => format!("a line for the file {}, which was written to the export", seen.file),
        Some(first) if !has_later_cycle(*first) => {
            format!("one more sync cycle after the one that copied {}", seen.file)
        }
        Some(_) => return None,
    };
    let object = format!("log of pod {}, container {}", seen.pod, system.sidecar_name());
    let hint =
        "check whether rsync runs with -v; if a test that follows files to the host folder fails too, fix that first";
    Some(Reason::new(object, expected, "no such line").hint(hint))
}

fn unsigned(duration: SignedDuration) -> Duration {
    Duration::try_from(duration).unwrap_or_default()
}

fn seconds(expected: &Expected) -> Option<SignedDuration> {
    let seconds: i64 = expected.text()?.parse().ok()?;
    (seconds > 0).then(|| SignedDuration::from_secs(seconds))
}

/// The lower median: one long pause, as after a suspended machine, is not a fault.
fn median(mut values: Vec<i64>) -> Option<i64> {
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
    fn check() -> LogCadence {
        serde_json::from_value(json!({
            "tolerance": "3s", "within": "40s", "cycles": 3
        }))
        .unwrap()
    }

    /// Of cycles with this interval in seconds, these pauses in milliseconds, and 2 s of copying.
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
    fn cycles_are_judged_by_their_pauses_errors_and_copies() {
        let once = ["2026-11-21T03:00:30Z"];
        let thrice = [once[0], "2026-11-21T03:01:00Z", "2026-11-21T03:01:30Z"];
        let paused = |millis: &[i64]| [vec![Value::Null], millis.iter().map(|pause| json!(pause)).collect()].concat();
        let steady = || paused(&[30_040, 30_160]);
        for (interval, pauses, errors, listed, outcome, why) in [
            (30, steady(), &[][..], &once[..], Outcome::Pass, "steady"),
            (30, paused(&[30_040, 8_000_000, 30_010]), &[], &once, Outcome::Pass, "the machine slept once"),
            (30, steady(), &[], &thrice[..2], Outcome::Pass, "the first cycle copied it while it was being written"),
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
    fn an_interval_is_a_number_of_seconds() {
        let read = |value: Value| seconds(&Expected { value: Some(value), source: "test".into() });
        assert_eq!([json!(1), json!(0), json!("often")].map(read), [Some(SignedDuration::from_secs(1)), None, None]);
    }
}
