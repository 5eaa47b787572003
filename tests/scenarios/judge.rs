//! Compares a run's results with those of its scenario.

use std::collections::BTreeSet;

use file_simulator_e2e::sim::scenario::Scenario;
use libtest_mimic::Failed;

use crate::support::expected::{differences, exit_code, expand};
use crate::support::junit::Results;
use crate::support::workspace::{RunResult, Workspace};

pub fn judge(scenario: &Scenario, workspace: &Workspace, ended: &RunResult) -> Result<(), Failed> {
    let (code, results) = (ended.code, &ended.results);
    if scenario.refused {
        let is_refused =
            code == 3 && results.values().all(|(outcome, why)| *outcome == "ERROR" && why.contains("could not start"));
        let problem = || format!("exit code {code}; expected a run that cannot start:\n{}", ended.all()).into();
        return if is_refused { Ok(()) } else { Err(problem()) };
    }
    let all: Vec<String> = results.keys().cloned().collect();
    let Scenario { fail, error, errors_among, .. } = scenario;
    let named =
        fail.iter().map(|name| (name.as_str(), "FAIL")).chain(error.iter().map(|name| (name.as_str(), "ERROR")));
    // Without the ERRORs that depend on timing.
    let mut certain = results.clone();
    certain.retain(|name, (outcome, _)| *outcome != "ERROR" || !errors_among.iter().any(|part| name.contains(part)));
    let mut found = differences(&certain, &expand(named, &scenario.server, &all).into_iter().collect());
    if !errors_among.is_empty() && certain.len() == results.len() && !scenario.may_pass {
        found.push(format!("no ERROR among {errors_among:?}"));
    }
    let expected = exit_code(results);
    if code != expected {
        found.push(format!("exit code {code}, expected {expected}"));
    }
    if found.is_empty() {
        return check_diagnoses(results, workspace);
    }
    let out = ended.all();
    found.extend(out.lines().rev().take(5).map(str::to_owned));
    Err(found.join("\n").into())
}

/// Every server with a FAIL has a diagnosis, and no server without a FAIL or ERROR has one.
fn check_diagnoses(results: &Results, workspace: &Workspace) -> Result<(), Failed> {
    let servers = |outcomes: &[&str]| -> BTreeSet<String> {
        let tests = results.iter().filter(|(_, (outcome, _))| outcomes.contains(outcome));
        tests.filter_map(|(name, _)| name.splitn(3, "::").nth(2).map(str::to_owned)).collect()
    };
    // A broken API server provides no diagnosis for servers with ERRORs.
    let (least, most) = (servers(&["FAIL"]), servers(&["FAIL", "ERROR"]));
    let files = std::fs::read_dir(workspace.path("reports/diagnostics")).ok();
    // Exists only with a diagnosis.
    let has_folder = files.is_some();
    let names = files.into_iter().flatten().map(|file| file.unwrap().file_name().into_string().unwrap());
    let seen: BTreeSet<String> = names.map(|name| name.replace(".txt", "")).collect();
    let is_right = has_folder != seen.is_empty() && seen.is_subset(&most) && least.is_subset(&seen);
    if is_right { Ok(()) } else { Err(format!("diagnoses of {seen:?}, expected {least:?} to {most:?}").into()) }
}
