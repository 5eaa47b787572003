//! Mutations of the healthy recording: with other names and another order, as on another cluster, all tests pass; with absurd
//! values, as any user could put them into a namespace, no test panics.

use file_simulator_e2e::event::{Outcome, Verdict};
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use libtest_mimic::Trial;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{path, suites};

/// Lists whose order has no meaning.
const UNORDERED: [&str; 7] = [
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
    "volumes",
    "volumeMounts",
    "addresses",
    "ownerReferences",
];

pub fn tests() -> Vec<Trial> {
    trials!("mutated":
        a_healthy_release_passes_with_other_names_and_in_another_order,
        absurd_objects_cause_no_panic,
    )
}

fn healthy() -> Value {
    serde_json::to_value(Recording::read(&path("healthy")).unwrap()).unwrap()
}

fn judged(recording: &Recording) -> Vec<(String, Verdict)> {
    let suites = suites(recording);
    recording.tests.iter().map(|test| (test.id.to_string(), replay::judge(recording, &suites, test))).collect()
}

fn a_healthy_release_passes_with_other_names_and_in_another_order() {
    let mut recording = healthy();
    reverse(&mut recording["objects"]);
    let text = recording.to_string().replace("file-sim-file-simulator-", "elsewhere-");
    for (test, verdict) in judged(&serde_json::from_str(&text).unwrap()) {
        assert!(matches!(verdict.outcome, Outcome::Pass | Outcome::Skip), "{test}: {verdict:?}");
    }
}

fn reverse(object: &mut Value) {
    match object {
        Value::Array(list) => list.iter_mut().for_each(reverse),
        Value::Object(map) => {
            for (key, value) in map {
                reverse(value);
                if let Value::Array(list) = value
                    && UNORDERED.contains(&key.as_str())
                {
                    list.reverse();
                }
            }
        }
        _ => {}
    }
}

fn absurd() -> impl Strategy<Value = Value> {
    let moments = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "-009999-01-02T00:00:00Z"];
    let texts = ["", "9e999Ei", "-1", "\u{1b}[31m\0", "../..", "é"];
    let numbers = [i64::MIN, -1, 0, 65536, i64::from(i32::MAX), i64::MAX];
    let others = [Value::Null, json!([]), json!({}), "x".repeat(100_000).into()];
    let all = moments.into_iter().chain(texts).map(Value::from).chain(numbers.map(Value::from)).chain(others);
    prop::sample::select(all.collect::<Vec<_>>())
}

/// All values except lists and objects.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(list) => list.iter_mut().flat_map(leaves).collect(),
        Value::Object(map) => map.values_mut().flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    fn absurd_objects_cause_no_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), absurd()), 1..30)) {
        let mut recording = healthy();
        let mut leaves = leaves(&mut recording["objects"]);
        for (index, value) in &changes {
            let leaf = index.index(leaves.len());
            leaves[leaf].clone_from(value);
        }
        judged(&serde_json::from_value(recording).unwrap());
    }
}
