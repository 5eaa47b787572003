//! The healthy recording stays green however a cluster may say the same: other names, another time, clocks that differ,
//! unknown fields, fields and lists in another order, a restarted node, other people's objects around.

use file_simulator_e2e::event::Outcome;
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::suite::load::parse;
use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use crate::recorded::path;

mod absurd;
mod strangers;

pub fn tests() -> Vec<Trial> {
    trials!("perturbed": a_healthy_release_is_green_however_it_is_told).into_iter().chain(absurd::tests()).collect()
}

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

/// What stands in front of the timestamps of a node: the kubelet's, and the log's, which its container runtime writes.
const OF_THE_NODE: [&str; 9] = [
    "startedAt",
    "finishedAt",
    "startTime",
    "lastHeartbeatTime",
    "lastTransitionTime",
    "head",
    "began",
    "ended",
    "listed",
];

/// What stands in front of that of the machine where helm ran.
const OF_HELM: &str = "at";

/// How the release's objects are called, before their server's name.
const PREFIX: &str = "file-sim-file-simulator-";

/// What is different about a cluster.
#[derive(Debug, Clone)]
struct Elsewhere {
    prefix: String,
    /// How far its clocks are ahead.
    ahead: SignedDuration,
    /// And by how much more those of its node and of whoever ran helm.
    node: SignedDuration,
    helm: SignedDuration,
    /// The name of a field that this program does not know.
    unknown: String,
    reversed: bool,
    /// The node was restarted, and with it every container.
    restarted: bool,
    /// What the names of other people's objects begin with.
    strangers: Vec<String>,
    /// For the order of fields, and of lists of objects.
    seed: u64,
}

fn elsewhere() -> impl Strategy<Value = Elsewhere> {
    let seconds = |range: std::ops::Range<i64>| range.prop_map(SignedDuration::from_secs);
    let clocks = (seconds(-300_000_000..300_000_000), seconds(-900..900), seconds(-900..900));
    let around = proptest::collection::vec("[a-z]{1,12}", 0..4);
    let told = (clocks, "[a-z]{1,20}-", "x[A-Z]{8}", any::<[bool; 2]>(), around, any::<u64>());
    told.prop_map(|((ahead, node, helm), prefix, unknown, [reversed, restarted], strangers, seed)| Elsewhere {
        prefix,
        ahead,
        node,
        helm,
        unknown,
        reversed,
        restarted,
        strangers,
        seed,
    })
}

impl Elsewhere {
    /// The recording as it would have been made there.
    fn tell(&self, recording: &Recording) -> Recording {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut told = serde_json::to_value(recording).unwrap();
        for object in told["objects"].as_object_mut().unwrap().values_mut() {
            if self.restarted && object["kind"] == "Pod" {
                restart(object);
            }
            self.tell_object(object, "");
        }
        for case in told["cases"].as_array_mut().unwrap() {
            self.shift(&mut case["seen"], "");
        }
        let around: Vec<Value> = self.strangers.iter().flat_map(|name| strangers::called(name)).collect();
        strangers::look_again(&mut told, around, &mut random);
        let text = shuffled(&told, &mut random).replace(PREFIX, &self.prefix);
        serde_json::from_str(&text).unwrap()
    }

    /// An object of Kubernetes, which stands under a key.
    fn tell_object(&self, value: &mut Value, key: &str) {
        match value {
            Value::Array(list) => {
                if self.reversed && UNORDERED.contains(&key) {
                    list.reverse();
                }
                for item in list {
                    self.tell_object(item, key);
                }
            }
            Value::Object(map) => {
                map.iter_mut().for_each(|(key, item)| self.tell_object(item, key));
                // Maps of names to texts, such as labels, take no other values.
                if map.values().any(Value::is_object) || map.contains_key("metadata") {
                    map.insert(self.unknown.clone(), json!({"of": ["a", "newer", "Kubernetes"]}));
                }
            }
            _ => self.shift(value, key),
        }
    }

    /// Other clocks, and nothing else: observations are ours and have no unknown fields.
    fn shift(&self, value: &mut Value, key: &str) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|item| self.shift(item, key)),
            Value::Object(map) => map.iter_mut().for_each(|(key, item)| self.shift(item, key)),
            Value::String(text) => {
                let own = match key {
                    OF_HELM => self.helm,
                    key if OF_THE_NODE.contains(&key) => self.node,
                    _ => SignedDuration::ZERO,
                };
                if let Ok(time) = text.parse::<Timestamp>() {
                    *text = (time + self.ahead + own).to_string();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// A pod after its node was restarted: each container has run before, and the init container began after that.
fn restart(pod: &mut Value) {
    let init = &pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["startedAt"];
    let began: Timestamp = init.as_str().unwrap().parse().unwrap();
    let ended = json!({"exitCode": 255, "reason": "Unknown", "finishedAt": (began - SignedDuration::from_secs(20)).to_string()});
    for list in ["initContainerStatuses", "containerStatuses"] {
        for status in pod["status"][list].as_array_mut().unwrap() {
            status["restartCount"] = json!(1);
            status["lastState"] = json!({ "terminated": ended });
        }
    }
}

/// JSON text with the fields of each object in any order.
fn shuffled(value: &Value, random: &mut StdRng) -> String {
    match value {
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(|item| shuffled(item, random)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let mut fields: Vec<String> =
                map.iter().map(|(key, item)| format!("{}:{}", json!(key), shuffled(item, random))).collect();
            fields.shuffle(random);
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    fn a_healthy_release_is_green_however_it_is_told(elsewhere in elsewhere()) {
        let told = elsewhere.tell(&Recording::read(&path("healthy")).unwrap());
        let suites: Vec<_> = told.suites.iter().map(|suite| parse(&suite.origin, &suite.text).unwrap()).collect();
        for case in &told.cases {
            let verdict = replay::judge(&told, &suites, case);
            prop_assert!(matches!(verdict.outcome, Outcome::Pass | Outcome::Skip), "{}: {verdict:?}", case.id);
            prop_assert!(verdict.notes.is_empty() || elsewhere.restarted, "{}: {verdict:?}", case.id);
        }
    }
}
