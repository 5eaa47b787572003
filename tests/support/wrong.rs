//! Which tests do not pass when something is broken: how that is written, and how a run is compared with it.

use std::collections::BTreeMap;

use file_simulator_e2e::suite::load::{BUILT_IN, load};

use super::junit::Results;

/// How tests end that do not PASS, by their full names.
pub type Wrong = BTreeMap<String, &'static str>;

/// The tests that are named so; `all` has the names of all tests. A name without a server is of this one, or else of all.
pub fn wrong<'a>(
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

/// How tests ended otherwise than that, in a line each. Those that are not named PASS, or are SKIP where they only say where
/// else something is tested.
pub fn differences(results: &Results, wrong: &Wrong) -> Vec<String> {
    let tests = BUILT_IN.iter().flat_map(|(name, _)| load(name).unwrap().tests);
    let skipped = tests.filter(|test| test.check.kind() == "skip").map(|test| (test.id.to_string(), "SKIP"));
    let skipped: Wrong = skipped.collect();
    let otherwise = results.iter().filter_map(|(name, (outcome, why))| {
        let expected = wrong.get(name).or_else(|| skipped.get(name)).copied().unwrap_or("PASS");
        (expected != *outcome).then(|| format!("{name}: expected {expected}, was {outcome}: {why}"))
    });
    let missing = wrong.keys().filter(|name| !results.contains_key(*name)).map(|name| format!("{name}: missing"));
    otherwise.chain(missing).collect()
}

/// What the program says of a run that ended so, as its exit code.
pub fn exit_code(results: &Results) -> i32 {
    let has = |outcome: &str| results.values().any(|(its, _)| *its == outcome);
    [("FAIL", 1), ("ERROR", 3)].into_iter().find(|(outcome, _)| has(outcome)).map_or(0, |(_, code)| code)
}
