//! Whether a run said of a scenario what the scenario says, and nothing else.

use std::collections::BTreeSet;

use file_simulator_e2e::sim::scenario::Scenario;
use libtest_mimic::Failed;

use crate::support::junit::Results;
use crate::support::place::{Ended, Place};
use crate::support::wrong::{differences, exit_code, wrong};

/// Whether exactly the tests did not pass of which the scenario says so, and the exit code says the same.
pub fn judge(scenario: &Scenario, place: &Place, ended: &Ended) -> Result<(), Failed> {
    let (code, results) = (ended.code, &ended.results);
    if scenario.refused {
        let is_refused =
            code == 3 && results.values().all(|(outcome, why)| *outcome == "ERROR" && why.contains("could not start"));
        let told = || format!("exit code {code}, and not refused:\n{}", ended.all()).into();
        return if is_refused { Ok(()) } else { Err(told()) };
    }
    let all: Vec<String> = results.keys().cloned().collect();
    let Scenario { fail, error, errors_among, .. } = scenario;
    let named =
        fail.iter().map(|name| (name.as_str(), "FAIL")).chain(error.iter().map(|name| (name.as_str(), "ERROR")));
    // Which of these the moment decides: at least one, none of them FAIL.
    let mut decided = results.clone();
    decided.retain(|name, (outcome, _)| *outcome != "ERROR" || !errors_among.iter().any(|part| name.contains(part)));
    let mut found = differences(&decided, &wrong(named, &scenario.server, &all).into_iter().collect());
    if !errors_among.is_empty() && decided.len() == results.len() && !scenario.may_pass {
        found.push(format!("no ERROR among {errors_among:?}"));
    }
    let right = exit_code(results);
    if code != right {
        found.push(format!("exit code {code}, expected {right}"));
    }
    if found.is_empty() {
        return looked_at(results, place);
    }
    let out = ended.all();
    found.extend(out.lines().rev().take(5).map(str::to_owned));
    Err(found.join("\n").into())
}

/// More is said of every server that FAILs, and nothing of one whose tests are all well.
fn looked_at(results: &Results, place: &Place) -> Result<(), Failed> {
    let servers = |outcomes: &[&str]| -> BTreeSet<String> {
        let its = results.iter().filter(|(_, (outcome, _))| outcomes.contains(outcome));
        its.filter_map(|(name, _)| name.splitn(3, "::").nth(2).map(str::to_owned)).collect()
    };
    // An API server that is out of order tells nothing of servers that only could not be judged.
    let (least, most) = (servers(&["FAIL"]), servers(&["FAIL", "ERROR"]));
    let files = std::fs::read_dir(place.path("reports/diagnostics")).ok();
    // There is no folder for nothing.
    let has_folder = files.is_some();
    let names = files.into_iter().flatten().map(|file| file.unwrap().file_name().into_string().unwrap());
    let seen: BTreeSet<String> = names.map(|name| name.replace(".txt", "")).collect();
    let is_right = has_folder != seen.is_empty() && seen.is_subset(&most) && least.is_subset(&seen);
    if is_right { Ok(()) } else { Err(format!("more is said of {seen:?}").into()) }
}
