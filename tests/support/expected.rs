//! The tests that are expected not to pass, and the comparison of a run with them.

use std::collections::BTreeMap;

use file_simulator_e2e::suite::load::{BUILT_IN, load};

use super::junit::Results;

/// The outcomes of tests that do not PASS, by full name.
pub type Expected = BTreeMap<String, &'static str>;

/// Expands names of tests to full names, given those of all tests: a name without a server means this server's test, or, if
/// `server` is empty, those of all servers.
pub fn expand<'a>(
    named: impl IntoIterator<Item = (&'a str, &'static str)>,
    server: &str,
    all: &[String],
) -> Vec<(String, &'static str)> {
    let full = |name: &str| match server {
        _ if all.iter().any(|listed| listed == name) => vec![name.to_owned()],
        "" => all.iter().filter(|listed| listed.starts_with(&format!("{name}::"))).cloned().collect(),
        server => vec![format!("{name}::{server}")],
    };
    named.into_iter().flat_map(|(name, outcome)| full(name).into_iter().map(move |name| (name, outcome))).collect()
}

/// The differences between results and expectations, one line each. All other tests must PASS, except those of the check
/// `skip`, which only refer to another suite.
pub fn differences(results: &Results, wrong: &Expected) -> Vec<String> {
    let tests = BUILT_IN.iter().flat_map(|(name, _)| load(name).unwrap().tests);
    let skipped = tests.filter(|test| test.check.kind() == "skip").map(|test| (test.id.to_string(), "SKIP"));
    let skipped: Expected = skipped.collect();
    let different = results.iter().filter_map(|(name, (outcome, why))| {
        let expected = wrong.get(name).or_else(|| skipped.get(name)).copied().unwrap_or("PASS");
        (expected != *outcome).then(|| format!("{name}: expected {expected}, was {outcome}: {why}"))
    });
    let missing = wrong.keys().filter(|name| !results.contains_key(*name)).map(|name| format!("{name}: missing"));
    different.chain(missing).collect()
}

/// The exit code of a run with these results.
pub fn exit_code(results: &Results) -> i32 {
    let has = |outcome: &str| results.values().any(|(its, _)| *its == outcome);
    [("FAIL", 1), ("ERROR", 3)].into_iter().find(|(outcome, _)| has(outcome)).map_or(0, |(_, code)| code)
}
