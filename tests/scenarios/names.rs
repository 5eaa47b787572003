//! The tests that the names in a scenario stand for.

use std::collections::BTreeMap;

use file_simulator_e2e::sim::scenario::Scenario;

/// The tests that must not pass, with `FAIL` or `ERROR`; `all` has the names of all tests.
pub fn wrong(scenario: &Scenario, all: &[String]) -> BTreeMap<String, &'static str> {
    let with = |names: &[String], outcome| {
        names.iter().flat_map(|name| full(scenario, name, all)).map(move |name| (name, outcome)).collect::<Vec<_>>()
    };
    let (fail, error, others) = (&scenario.fail, &scenario.error, &scenario.fails_one_of);
    [with(fail, "FAIL"), with(error, "ERROR"), with(others, "ERROR")].into_iter().flatten().collect()
}

/// The tests of which one FAILs.
pub fn one_of(scenario: &Scenario, all: &[String]) -> Vec<String> {
    scenario.fails_one_of.iter().flat_map(|name| full(scenario, name, all)).collect()
}

/// The tests that are SKIP, and a part of why; `has_low_ports`: whether this machine gives ports below 1024.
pub fn skipped<'a>(scenario: &'a Scenario, all: &[String], has_low_ports: bool) -> BTreeMap<String, &'a str> {
    let high = scenario.skip_from_high_ports.iter().filter(|_| !has_low_ports);
    let named = scenario.skip.iter().chain(high);
    named.flat_map(|(name, why)| full(scenario, name, all).into_iter().map(move |name| (name, why.as_str()))).collect()
}

fn full(scenario: &Scenario, name: &String, all: &[String]) -> Vec<String> {
    if all.contains(name) {
        return vec![name.clone()];
    }
    if !scenario.server.is_empty() {
        return vec![format!("{name}::{}", scenario.server)];
    }
    let its = all.iter().filter(|whole| whole.strip_prefix(name).is_some_and(|rest| rest.starts_with("::")));
    its.cloned().collect()
}
