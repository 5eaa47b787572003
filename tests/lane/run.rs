//! Runs the program on the real cluster and compares actual with expected results.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::catalogue::Round;
use crate::support::expected::{self, Expected};
use crate::support::test_cluster::{SHORTER, TestCluster};
use crate::support::workspace::RunResult;

use super::OLDER;

/// On a usual machine; many waits may time out.
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs a round's suites; if `RECORDINGS` names a folder, records the run there under the round's name.
pub fn run(cluster: &TestCluster, round: &Round) -> RunResult {
    let folder = std::env::var_os("RECORDINGS").map(PathBuf::from);
    let is_recorded = folder.is_some();
    // Rounds with a space in the name repeat others, or timing decides their results.
    let folder = folder.filter(|_| !round.name.contains(' '));
    let record = folder.map(|folder| folder.join(format!("{}.json.gz", round.name)));
    let Round { suites, skip, .. } = round;
    let (workspace, shorter) = (cluster.workspace(), if round.name.contains(OLDER) { &[] } else { &SHORTER[..] });
    // Recordings use the built-in suites unchanged.
    let suite = |name: &String| if is_recorded { name.clone() } else { workspace.suite(name, shorter) };
    let suites: Vec<String> = suites.iter().map(suite).collect();
    let suites = suites.iter().flat_map(|suite| ["--suite", suite]);
    let skip = skip.iter().flat_map(|part| ["--skip", part]);
    let arguments: Vec<&str> = suites.chain(skip).chain(round.disrupts.then_some("--allow-disruption")).collect();
    let mut command = workspace.command(&arguments);
    command.envs(record.map(|path| ("FILE_SIMULATOR_RECORD", path)));
    let listed = workspace.listed(&arguments);
    RunResult { listed, ..workspace.start(command).end(LIMIT) }
}

pub fn differences(run: &RunResult, round: &Round, expected: &Expected) -> Vec<String> {
    let mut results = run.results.clone();
    if round.suites == ["nfs"] {
        // The test whose request ends a server FAILs; timing decides which of the server's other tests are blocked.
        let failing = expected.iter().filter(|(_, outcome)| **outcome == "FAIL").map(|(name, _)| name);
        for (name, (outcome, why)) in &mut results {
            if *outcome == "ERROR" && failing.clone().any(|first| why.contains(&format!("blocked by {first}"))) {
                *outcome = expected.get(name).copied().unwrap_or("PASS");
            }
        }
    }
    let mut found = expected::differences(&results, expected);
    found.extend(run.missing());
    let exit = expected::exit_code(&run.results);
    if run.code != exit {
        found.push(format!("expected exit code {exit}, was {}", run.code));
    }
    found
}
