//! Objects with absurd fields, as anybody may put them into a namespace: each test says something of them, and none breaks.

use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::suite::load::parse;
use libtest_mimic::Trial;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::recorded::path;

pub fn tests() -> Vec<Trial> {
    trials!("perturbed::absurd": absurd_objects_are_judged)
}

/// What stands in the place of something else.
fn absurd() -> impl Strategy<Value = Value> {
    let moments = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "-009999-01-02T00:00:00Z"];
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        prop::sample::select(vec![i64::MIN, -1, 0, 65536, i64::from(i32::MAX), i64::MAX]).prop_map(Value::from),
        prop::sample::select(moments.to_vec()).prop_map(Value::from),
        prop::sample::select(vec!["", "9e999Ei", "-1", "\u{1b}[31m\0", "../..", "é"]).prop_map(Value::from),
        Just("x".repeat(100_000).into()),
    ]
}

/// Replaces the so-manieth value that is neither a list nor an object.
fn replace(value: &mut Value, left: &mut usize, with: &Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| replace(item, left, with)),
        Value::Object(map) => map.values_mut().for_each(|item| replace(item, left, with)),
        leaf => {
            if *left == 0 {
                *leaf = with.clone();
            }
            *left = left.wrapping_sub(1);
        }
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(leaves).sum(),
        Value::Object(map) => map.values().map(leaves).sum(),
        _ => 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    fn absurd_objects_are_judged(changes in prop::collection::vec((any::<prop::sample::Index>(), absurd()), 1..30)) {
        let mut told = serde_json::to_value(Recording::read(&path("healthy")).unwrap()).unwrap();
        let count = leaves(&told["objects"]);
        for (index, with) in &changes {
            replace(&mut told["objects"], &mut index.index(count), with);
        }
        let told: Recording = serde_json::from_value(told).unwrap();
        let suites: Vec<_> = told.suites.iter().map(|suite| parse(&suite.origin, &suite.text).unwrap()).collect();
        for case in &told.cases {
            replay::judge(&told, &suites, case);
        }
    }
}
