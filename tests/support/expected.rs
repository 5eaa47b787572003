//! Expected outcomes of tests, and their comparison with a run's results.

use std::collections::BTreeMap;

use file_simulator_e2e::suite::load::{BUILT_IN, load};

use super::junit::Results;

/// Expected outcomes other than PASS, by full test name.
pub type Expected = BTreeMap<String, &'static str>;

/// Expands test names to full names, given the names of all tests: a name without a server means this server's test, or, if
/// `server` is empty, the tests of all servers.
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

/// The differences, one line each. All other tests must PASS, except those of the check `skip`, which refer to another suite.
pub fn differences(results: &Results, expected: &Expected) -> Vec<String> {
    let tests = BUILT_IN.iter().flat_map(|(name, _)| load(name).unwrap().tests);
    let skips = tests.filter(|test| test.check.kind() == "skip");
    let skipped: Expected = skips.map(|test| (test.id.to_string(), "SKIP")).collect();
    let different = results.iter().filter_map(|(name, (outcome, why))| {
        let wanted = expected.get(name).or_else(|| skipped.get(name)).copied().unwrap_or("PASS");
        (wanted != *outcome).then(|| format!("{name}: expected {wanted}, was {outcome}: {why}"))
    });
    let missing = expected.keys().filter(|name| !results.contains_key(*name)).map(|name| format!("{name}: missing"));
    different.chain(missing).collect()
}

pub fn exit_code(results: &Results) -> i32 {
    let has = |outcome: &str| results.values().any(|(its, _)| *its == outcome);
    [("FAIL", 1), ("ERROR", 3)].into_iter().find(|(outcome, _)| has(outcome)).map_or(0, |(_, code)| code)
}
