//! Every built-in test on a simulated cluster.
//!
//! The program runs once for all selected tests, and each trial reports the result of its test. Works with cargo-nextest too,
//! which starts a process for each trial.

use std::sync::{Arc, LazyLock};

use file_simulator_e2e::suite::load::BUILT_IN;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::scenarios;
use crate::support::junit::Results;
use crate::support::workspace::Workspace;

/// A single selected test runs alone; otherwise the program runs all tests.
pub fn tests(arguments: &Arguments) -> Vec<Trial> {
    let suites: Vec<String> = BUILT_IN.iter().map(|(name, _)| format!("--suite={name}")).collect();
    let suites: Vec<&str> = suites.iter().map(String::as_str).collect();
    let names = Workspace::new().listed(&suites);
    let is_selected = |name: &&String| !arguments.is_filtered_out(&Trial::test(trial_name(name), || Ok(())));
    let selected: Vec<String> = names.iter().filter(is_selected).cloned().collect();
    let results = Arc::new(LazyLock::new(move || run(&selected)));
    let trial = |name: String| {
        let results = Arc::clone(&results);
        Trial::ignorable_test(trial_name(&name), move || completion(&name, &results))
    };
    names.into_iter().map(trial).collect()
}

fn trial_name(name: &str) -> String {
    format!("suites::{name}")
}

fn run(selected: &[String]) -> Results {
    let (_slot, workspace) = (scenarios::copy_slot(), Workspace::new());
    let mut arguments = vec!["--simulate"];
    if let [only] = selected {
        arguments.extend(["--exact", only]);
    }
    let files: Vec<String> = BUILT_IN.iter().map(|(name, _)| workspace.suite(name, &[])).collect();
    arguments.extend(files.iter().flat_map(|file| ["--suite", file]));
    let ended = workspace.run(&arguments);
    assert!(ended.out.contains("SIMULATED"), "{}", ended.all());
    ended.results
}

fn completion(name: &str, results: &Results) -> Result<Completion, Failed> {
    match results.get(name).ok_or("the test did not run")? {
        ("PASS", _) => Ok(Completion::Completed),
        ("SKIP", why) => Ok(Completion::ignored_with(why)),
        (outcome, why) => Err(format!("{outcome} {why}").into()),
    }
}
