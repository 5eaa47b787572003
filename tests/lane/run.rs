//! A run of the program on the real cluster, and what it says otherwise than expected.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::catalogue::Round;
use crate::support::junit::Results;
use crate::support::lab::Lab;
use crate::support::place::Ended;

use super::OLDER;

/// The tests that say where something else is tested.
const SKIPPED: &str = "phase3::win-02::";
/// Those that need to be allowed.
const DISTURBS: &str = "data-safety::reserved-names::";
/// The longest that a run may take on a usual machine, in which much may be waited for in vain.
const LIMIT: Duration = Duration::from_secs(1800);
/// Limits that are shorter, as the interval of the sidecars is: four of it.
const SHORTER: [(&str, &str); 2] = [("within: 60s", "within: 20s"), ("within: 30s", "within: 20s")];
/// A run of a round's suites.
pub struct Run {
    pub ended: Ended,
    results: Results,
    /// The tests that `--list` names.
    pub listed: Vec<String>,
}

impl Run {
    /// Runs them to their end; where `RECORDINGS` names a folder, recorded there under the round's name.
    pub fn new(lab: &Lab, round: &Round) -> Self {
        let folder = std::env::var_os("RECORDINGS").map(PathBuf::from);
        let is_recorded = folder.is_some();
        // Once is enough of what is the same.
        let folder = folder.filter(|_| !round.name.ends_with("again"));
        let record = folder.map(|folder| folder.join(format!("{}.json.gz", round.name)));
        let Round { suites, skip, .. } = round;
        let place = lab.place();
        let shorter: &[_] = if round.name == OLDER { &[] } else { &SHORTER };
        let suite = suites.iter().map(|suite| {
            // A recording is of the suite as it is.
            let suite = if is_recorded { (*suite).to_owned() } else { place.suite(suite, shorter) };
            format!("--suite={suite}")
        });
        let skip = skip.iter().map(|part| format!("--skip={part}"));
        let disrupt = round.disrupts.then(|| "--allow-disruption".to_owned());
        let arguments: Vec<String> = suite.chain(skip).chain(disrupt).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = place.command(&arguments);
        command.envs(record.map(|path| ("FILE_SIMULATOR_RECORD", path)));
        let ended = place.start(command).end(LIMIT);
        Self { ended, results: place.results(suites), listed: place.listed(&arguments) }
    }
}

/// What the run says otherwise than expected, in a line each.
pub fn differences(run: &Run, round: &Round, expected: &BTreeMap<String, &str>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, (outcome, _)) in &run.results {
        let is_skipped = name.starts_with(SKIPPED) || !round.disrupts && name.starts_with(DISTURBS);
        let healthy = if is_skipped { "SKIP" } else { "PASS" };
        let expected = expected.get(name).copied().unwrap_or(healthy);
        if expected != *outcome {
            found.push(format!("{name}: expected {expected}, was {outcome}"));
        }
    }
    let is_reported = |name: &str| run.results.contains_key(name);
    let missing = run.listed.iter().chain(expected.keys()).filter(|name| !is_reported(name));
    found.extend(missing.map(|name| format!("{name}: missing")));
    let exit = i32::from(!expected.is_empty());
    if run.ended.code != exit {
        found.push(format!("expected exit code {exit}, was {}", run.ended.code));
    }
    found
}
