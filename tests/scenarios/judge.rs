//! Whether a run said of a scenario what the scenario says, and nothing else.

use std::collections::BTreeSet;

use file_simulator_e2e::sim::scenario::Scenario;
use file_simulator_e2e::suite::load::{BUILT_IN, load};
use libtest_mimic::Failed;

use crate::support::catalogue::full;
use crate::support::junit::Results;
use crate::support::place::Ended;

/// Whether exactly the tests did not pass of which the scenario says so, and the exit code says the same.
pub fn judge(scenario: &Scenario, (ended, diagnosed): (Ended, Option<BTreeSet<String>>)) -> Result<(), Failed> {
    let (code, out) = (ended.code, ended.all());
    let results = ended.results;
    if scenario.refused {
        let is_refused =
            code == 3 && results.values().all(|(outcome, why)| *outcome == "ERROR" && why.contains("could not start"));
        return if is_refused { Ok(()) } else { Err(format!("exit code {code}, and not refused:\n{out}").into()) };
    }
    let names: Vec<String> = results.keys().cloned().collect();
    let with = |tests: &[String], outcome| {
        let its = tests.iter().flat_map(|name| full(name, &scenario.server, &names));
        its.map(|name| (name, outcome)).collect::<BTreeSet<_>>()
    };
    let mut expected = &with(&scenario.fail, "FAIL") | &with(&scenario.error, "ERROR");
    let outcomes = results.iter().map(|(name, (outcome, _))| (name.clone(), *outcome));
    let mut wrong: BTreeSet<(String, &str)> =
        outcomes.filter(|(_, outcome)| !["PASS", "SKIP"].contains(outcome)).collect();
    if !scenario.errors_among.is_empty() {
        // Which of them the moment decides: at least one, none of them FAIL.
        let all = wrong.len();
        wrong.retain(|(name, outcome)| {
            *outcome != "ERROR" || !scenario.errors_among.iter().any(|part| name.contains(part))
        });
        if wrong.len() == all && !scenario.may_pass {
            expected.insert((format!("one of {:?}", scenario.errors_among), "ERROR"));
        }
    }
    let has = |outcome: &str| results.values().any(|(its, _)| *its == outcome);
    let right = [("FAIL", 1), ("ERROR", 3)].iter().find(|(outcome, _)| has(outcome)).map_or(0, |(_, code)| *code);
    if wrong == expected && code == right {
        skipped(&results)?;
        return looked_at(&results, diagnosed);
    }
    let lines = |these: &BTreeSet<(String, &str)>, others: &BTreeSet<(String, &str)>| {
        let line = |(name, outcome): &(String, &str)| {
            format!("  {outcome} {name}: {}", results.get(name).map_or("", |(_, why)| why.as_str()))
        };
        these.difference(others).map(line).collect::<Vec<_>>().join("\n")
    };
    let notices: Vec<&str> = out.lines().rev().take(5).collect();
    Err(format!(
        "exit code {code}, expected {right}\nnot expected:\n{}\nmissing:\n{}\n{}",
        lines(&wrong, &expected),
        lines(&expected, &wrong),
        notices.join("\n")
    )
    .into())
}

/// No test is SKIP but those that only say where else something is tested.
fn skipped(results: &Results) -> Result<(), Failed> {
    let suites = BUILT_IN.iter().map(|(name, _)| load(name).unwrap());
    let cases = suites.flat_map(|suite| suite.cases).filter(|case| case.check.kind() == "skip");
    let never: BTreeSet<String> = cases.map(|case| case.id.to_string()).collect();
    let skipped = results.iter().filter(|(name, (outcome, _))| *outcome == "SKIP" && !never.contains(*name));
    let skipped: Vec<_> = skipped.map(|(name, (_, why))| format!("{name}: {why}")).collect();
    if skipped.is_empty() { Ok(()) } else { Err(format!("SKIP: {skipped:?}").into()) }
}

/// More is said of every server that FAILs, and nothing of one whose tests are all well.
fn looked_at(results: &Results, diagnosed: Option<BTreeSet<String>>) -> Result<(), Failed> {
    let servers = |outcomes: &[&str]| -> BTreeSet<String> {
        let its = results.iter().filter(|(_, (outcome, _))| outcomes.contains(outcome));
        its.filter_map(|(name, _)| name.splitn(3, "::").nth(2).map(str::to_owned)).collect()
    };
    // An API server that is out of order tells nothing of servers that only could not be judged.
    let (least, most) = (servers(&["FAIL"]), servers(&["FAIL", "ERROR"]));
    let is_right = diagnosed.as_ref().is_none_or(|seen| !seen.is_empty() && seen.is_subset(&most));
    let seen = diagnosed.unwrap_or_default();
    if is_right && least.is_subset(&seen) { Ok(()) } else { Err(format!("more is said of {seen:?}").into()) }
}
