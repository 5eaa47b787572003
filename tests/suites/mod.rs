//! Every built-in test, on a simulated cluster, also for cargo-nextest.
//!
//! Whichever tests are chosen, the program runs once, and each of them says what it said.

use std::sync::{Arc, LazyLock};

use file_simulator_e2e::suite::load::BUILT_IN;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::scenarios;
use crate::support::junit::Results;
use crate::support::place::Place;

/// The tests. One that is chosen alone is run alone, else all are.
pub fn tests(arguments: &Arguments) -> Vec<Trial> {
    let suites: Vec<String> = BUILT_IN.iter().map(|(name, _)| format!("--suite={name}")).collect();
    let suites: Vec<&str> = suites.iter().map(String::as_str).collect();
    let names = Place::new().listed(&suites);
    let is_chosen = |name: &&String| !arguments.is_filtered_out(&Trial::test(called(name), || Ok(())));
    let chosen: Vec<String> = names.iter().filter(is_chosen).cloned().collect();
    let said = Arc::new(LazyLock::new(move || run(&chosen)));
    let trial = |name: String| {
        let said = Arc::clone(&said);
        Trial::ignorable_test(called(&name), move || completion(&name, &said))
    };
    names.into_iter().map(trial).collect()
}

fn called(name: &str) -> String {
    format!("suites::{name}")
}

fn run(chosen: &[String]) -> Results {
    let (_turn, place) = (scenarios::turn(), Place::new());
    let mut arguments = vec!["--simulate"];
    if let [only] = chosen {
        arguments.extend(["--exact", only]);
    }
    let files: Vec<String> = BUILT_IN.iter().map(|(name, _)| place.suite(name, &[])).collect();
    arguments.extend(files.iter().flat_map(|file| ["--suite", file]));
    let ended = place.run(&arguments);
    assert!(ended.out.contains("SIMULATED"), "{}", ended.all());
    ended.results
}

fn completion(name: &str, said: &Results) -> Result<Completion, Failed> {
    match said.get(name).ok_or("it was not run")? {
        ("PASS", _) => Ok(Completion::Completed),
        ("SKIP", why) => Ok(Completion::ignored_with(why)),
        (outcome, why) => Err(format!("{outcome} {why}").into()),
    }
}
