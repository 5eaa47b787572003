//! The healthy recording stays green however a cluster may say the same: other names, another time, unknown fields, lists
//! in another order.

use file_simulator_e2e::event::Outcome;
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::suite::load::parse;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::replay::path;

/// Lists of objects whose order means nothing.
const UNORDERED: [&str; 7] = [
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
    "volumes",
    "volumeMounts",
    "addresses",
    "ownerReferences",
];

/// How the release's objects are called, before their server's name.
const PREFIX: &str = "file-sim-file-simulator-";

/// What is different about a cluster.
#[derive(Debug, Clone)]
struct Elsewhere {
    prefix: String,
    /// How far its clocks are ahead.
    ahead: SignedDuration,
    /// The name of a field that this program does not know.
    unknown: String,
    reversed: bool,
}

fn elsewhere() -> impl Strategy<Value = Elsewhere> {
    let ahead = (-300_000_000..300_000_000_i64).prop_map(SignedDuration::from_secs);
    ("[a-z]{1,20}-", ahead, "x[A-Z]{8}", any::<bool>()).prop_map(|(prefix, ahead, unknown, reversed)| Elsewhere {
        prefix,
        ahead,
        unknown,
        reversed,
    })
}

impl Elsewhere {
    /// The same as it would be said there.
    fn tell(&self, value: &mut Value, key: &str) {
        match value {
            Value::String(text) => {
                if let Some(time) = text.parse::<Timestamp>().ok().and_then(|time| time.checked_add(self.ahead).ok()) {
                    *text = time.to_string();
                }
            }
            Value::Array(list) => {
                if self.reversed && UNORDERED.contains(&key) {
                    list.reverse();
                }
                for item in list {
                    self.tell(item, key);
                }
            }
            Value::Object(map) => {
                map.iter_mut().for_each(|(key, item)| self.tell(item, key));
                // Maps of names to texts, such as labels, take no other values.
                if map.values().any(Value::is_object) || map.contains_key("metadata") {
                    map.insert(self.unknown.clone(), json!({"of": ["a", "newer", "Kubernetes"]}));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_healthy_release_is_green_however_it_is_told(elsewhere in elsewhere()) {
        let recording = Recording::read(&path("healthy")).unwrap();
        let mut told = serde_json::to_value(&recording).unwrap();
        for object in told["objects"].as_object_mut().unwrap().values_mut() {
            elsewhere.tell(object, "");
        }
        for case in told["cases"].as_array_mut().unwrap() {
            shift(&mut case["seen"], &elsewhere);
        }
        let text = told.to_string().replace(PREFIX, &elsewhere.prefix);
        let told: Recording = serde_json::from_str(&text).unwrap();
        let suites: Vec<_> = told.suites.iter().map(|suite| parse(&suite.origin, &suite.text).unwrap()).collect();
        for case in &told.cases {
            let verdict = replay::judge(&told, &suites, case);
            prop_assert!(matches!(verdict.outcome, Outcome::Pass | Outcome::Skip), "{}: {verdict:?}", case.id);
        }
    }
}

/// Other clocks in observations, which are ours and have no unknown fields.
fn shift(seen: &mut Value, elsewhere: &Elsewhere) {
    match seen {
        Value::Array(list) => list.iter_mut().for_each(|item| shift(item, elsewhere)),
        Value::Object(map) => map.values_mut().for_each(|item| shift(item, elsewhere)),
        Value::String(_) => elsewhere.tell(seen, ""),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
