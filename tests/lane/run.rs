//! A run of the program on the real cluster, and what it says otherwise than expected.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::catalogue::Round;
use crate::support::lab::{Lab, SHORTER};
use crate::support::place::Ended;
use crate::support::wrong::{self, Wrong};

use super::OLDER;

/// The longest that a run may take on a usual machine, in which much may be waited for in vain.
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs a round's suites to their end; where `RECORDINGS` names a folder, recorded there under the round's name.
pub fn run(lab: &Lab, round: &Round) -> Ended {
    let folder = std::env::var_os("RECORDINGS").map(PathBuf::from);
    let is_recorded = folder.is_some();
    // Once is enough of what is the same; and what the moment decides is the same in no two recordings.
    let folder = folder.filter(|_| !round.name.contains(' '));
    let record = folder.map(|folder| folder.join(format!("{}.json.gz", round.name)));
    let Round { suites, skip, .. } = round;
    let (place, shorter) = (lab.place(), if round.name.contains(OLDER) { &[] } else { &SHORTER[..] });
    // A recording is of the suites as they are.
    let suite = |name: &String| if is_recorded { name.clone() } else { place.suite(name, shorter) };
    let suites: Vec<String> = suites.iter().map(suite).collect();
    let suites = suites.iter().flat_map(|suite| ["--suite", suite]);
    let skip = skip.iter().flat_map(|part| ["--skip", part]);
    let arguments: Vec<&str> = suites.chain(skip).chain(round.disrupts.then_some("--allow-disruption")).collect();
    let mut command = place.command(&arguments);
    command.envs(record.map(|path| ("FILE_SIMULATOR_RECORD", path)));
    let listed = place.listed(&arguments);
    Ended { listed, ..place.start(command).end(LIMIT) }
}

/// What the run says otherwise than expected, in a line each.
pub fn differences(run: &Ended, round: &Round, expected: &Wrong) -> Vec<String> {
    let mut results = run.results.clone();
    if round.suites == ["nfs"] {
        // Of one server at the same time, the test whose request ended it; how far others had come decides the moment.
        let ends = expected.iter().filter(|(_, outcome)| **outcome == "FAIL").map(|(name, _)| name);
        for (name, (outcome, why)) in &mut results {
            if *outcome == "ERROR" && ends.clone().any(|first| why.contains(&format!("blocked by {first}"))) {
                *outcome = expected.get(name).copied().unwrap_or("PASS");
            }
        }
    }
    let mut found = wrong::differences(&results, expected);
    found.extend(run.missing());
    let exit = wrong::exit_code(&run.results);
    if run.code != exit {
        found.push(format!("expected exit code {exit}, was {}", run.code));
    }
    found
}
