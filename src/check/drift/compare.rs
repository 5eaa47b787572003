//! An object of a manifest and the live one, side by side: what is another, missing, added, or in another order. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::path::Path;
use crate::check::pod::quantity;
use crate::cluster::manifest::{key, keys, told};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    Differs,
    Missing,
    /// The item or entry is in the live object only.
    Added,
    /// The init containers run in another order.
    Order,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Difference {
    /// Where, as kubectl has it.
    pub at: String,
    pub how: How,
    /// Whether the manifest's value is what Kubernetes takes for none, and may fill.
    pub is_unset: bool,
    /// What the manifest says and what is there; `None` where it may be secret.
    pub values: Option<[String; 2]>,
}

impl Difference {
    /// What was expected, and what was seen.
    pub fn words(&self, revision: u64) -> [String; 2] {
        let at = &self.at;
        let [said, live] = match &self.values {
            Some(values) => values.each_ref().map(|value| format!("`{value}`")),
            None => ["a value that may be secret", "another"].map(str::to_owned),
        };
        let source = format!("as in the manifest of revision {revision}");
        match self.how {
            How::Differs => [format!("{at} to be {said}, {source}"), live],
            How::Missing => [format!("{at} to be {said}, {source}"), "it is not there".to_owned()],
            How::Order => [format!("{at} in the order {said}, {source}"), live],
            How::Added => {
                [format!("no {at}: the manifest of revision {revision} does not have it"), "it was added".to_owned()]
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Compared {
    pub differences: Vec<Difference>,
    pub places: Vec<String>,
    /// Nothing of the values is shown.
    is_secret: bool,
    /// The API server adds nothing by itself to the lists of such an object.
    is_known: bool,
}

/// Lists that the API server leaves as they are: what is in them and not in the manifest, somebody has added.
const WHOLE: [&str; 13] = [
    "containers",
    "initContainers",
    "volumes",
    "env",
    "envFrom",
    "ports",
    "volumeMounts",
    "volumeDevices",
    "hostAliases",
    "externalIPs",
    "loadBalancerSourceRanges",
    "add",
    "drop",
];
/// Fields that are false unless somebody says otherwise.
const FALSE: [&str; 8] = [
    "readOnly",
    "privileged",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "paused",
    "shareProcessNamespace",
    "publishNotReadyAddresses",
];
/// The versions of objects that have them.
const KNOWN: [&str; 3] = ["v1", "apps/v1", "batch/v1"];
/// Lists without an order.
const SETS: [&str; 6] = ["add", "drop", "accessModes", "externalIPs", "loadBalancerSourceRanges", "finalizers"];
/// Lists that controllers add to.
const SHARED: [&str; 3] = ["finalizers", "secrets", "imagePullSecrets"];
/// What is assigned where the manifest says nothing, or nothing in so many words.
const ASSIGNED: [&str; 5] = ["clusterIP", "nodePort", "healthCheckNodePort", "volumeName", "nodeName"];
/// Fields that are kept also where they are false, zero or empty. Source: those are pointers in the API's types; any
/// other field of that value is left out of what is stored.
const KEPT: [&str; 19] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "emptyDir",
    "enableServiceLinks",
    "fsGroup",
    "hostUsers",
    "immutable",
    "namespaceSelector",
    "optional",
    "podSelector",
    "privileged",
    "readOnlyRootFilesystem",
    "replicas",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "shareProcessNamespace",
    "suspend",
    "terminationGracePeriodSeconds",
];
/// What holds quantities, and what is one.
const QUANTITIES: [&str; 8] =
    ["limits", "requests", "capacity", "hard", "defaultRequest", "max", "min", "maxLimitRequestRatio"];
const QUANTITY: [&str; 2] = ["sizeLimit", "storage"];

pub fn compare(said: &Value, live: &Value) -> Compared {
    let kind = said["kind"].as_str().unwrap_or_default();
    // A Pod gets the volume of its service account.
    let is_known = kind != "Pod" && said["apiVersion"].as_str().is_some_and(|version| KNOWN.contains(&version));
    let mut compared = Compared { is_secret: kind == "Secret", is_known, ..Compared::default() };
    let root = Path::default();
    let metadata = root.field("metadata");
    for part in ["labels", "annotations"] {
        compared.value(&metadata.field(part), "", &said["metadata"][part], live["metadata"].get(part));
    }
    let encoded = (kind == "Secret").then(|| encoded(said));
    let fields = encoded.as_ref().or(said.as_object()).into_iter().flatten();
    for (name, said) in
        fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"))
    {
        compared.value(&root.field(name), "", said, live.get(name));
    }
    if kind == "Service" {
        let selector = root.field("spec").field("selector");
        compared.entries(&selector, &said["spec"]["selector"], &live["spec"]["selector"]);
    }
    compared
}

impl Compared {
    /// Compares a field; `within` is the name of what it is a field of.
    fn value(&mut self, path: &Path, within: &str, said: &Value, live: Option<&Value>) {
        let name = path.name.as_str();
        if said.is_null() {
            return;
        }
        let is_nothing = is_nothing(said);
        // The first is what controllers fill in later.
        if name == "caBundle" || is_nothing && ASSIGNED.contains(&name) {
            self.places.push(path.text.clone());
            return;
        }
        let live = live.filter(|live| !live.is_null());
        let Some(live) = live else {
            self.places.push(path.text.clone());
            if !is_nothing || KEPT.contains(&name) {
                self.note(path, How::Missing, [Some(said), None]);
            }
            return;
        };
        match (said, live) {
            (Value::Object(said), Value::Object(live)) => self.object(path, said, live),
            (Value::Array(said), Value::Array(live)) if SETS.contains(&name) => self.set(path, said, live),
            (Value::Array(said), Value::Array(live)) => self.list(path, said, live),
            _ => {
                self.places.push(path.text.clone());
                let is_quantity = QUANTITIES.contains(&within) || QUANTITY.contains(&name);
                if !is_same(said, live, is_quantity) {
                    self.note(path, How::Differs, [Some(said), Some(live)]);
                }
            }
        }
    }

    fn object(&mut self, path: &Path, said: &Map<String, Value>, live: &Map<String, Value>) {
        for (name, value) in said {
            self.value(&path.field(name), &path.name, value, live.get(name));
        }
        if !self.is_known {
            return;
        }
        for (name, value) in live {
            let has_none = said.get(name).is_none_or(Value::is_null);
            let below = path.field(name);
            if WHOLE.contains(&name.as_str()) && has_none {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.added(&below, item, index);
                }
            }
            if FALSE.contains(&name.as_str()) && has_none && *value == true {
                self.note(&below, How::Added, [None, Some(value)]);
            }
            if name == "nodeSelector" {
                self.entries(&below, said.get(name).unwrap_or(&Value::Null), value);
            }
        }
    }

    fn entries(&mut self, path: &Path, said: &Value, live: &Value) {
        for (name, value) in live.as_object().into_iter().flatten().filter(|(name, _)| said.get(name).is_none()) {
            self.note(&path.field(name), How::Added, [None, Some(value)]);
        }
    }

    fn set(&mut self, path: &Path, said: &[Value], live: &[Value]) {
        self.places.push(path.text.clone());
        for (index, item) in said.iter().enumerate().filter(|(_, item)| !live.contains(item)) {
            self.note(&path.item(None, index), How::Missing, [Some(item), None]);
        }
        for (index, item) in live.iter().enumerate().filter(|(_, item)| !said.contains(item)) {
            self.added(path, item, index);
        }
    }

    fn list(&mut self, path: &Path, said: &[Value], live: &[Value]) {
        // An empty list says no more than none.
        if said.is_empty() && !(self.is_known && WHOLE.contains(&path.name.as_str())) {
            self.places.push(path.text.clone());
            return;
        }
        let has_keys = |items: &[Value]| items.iter().all(|item| key(&path.name, item).is_some());
        if !(has_keys(said) && has_keys(live)) {
            self.places.push(path.text.clone());
            if said.len() == live.len() {
                for (index, (said, live)) in said.iter().zip(live).enumerate() {
                    self.value(&path.item(None, index), "", said, Some(live));
                }
            } else {
                let values = [said, live].map(|list| json!(list));
                self.note(path, How::Differs, [Some(&values[0]), Some(&values[1])]);
            }
            return;
        }
        let [said, live] = [said, live].map(|items| effective(&path.name, items));
        let mut found: Vec<usize> = Vec::new();
        for (_, item) in &said {
            let place =
                live.iter().position(|(index, other)| !found.contains(index) && is_same_item(path, item, other));
            if let Some(place) = place {
                let (index, other) = live[place];
                found.push(index);
                self.value(&path.item(key(&path.name, other), index), "", item, Some(other));
            } else {
                self.note(&path.item(key(&path.name, item), 0), How::Missing, [Some(item), None]);
            }
        }
        if path.name == "initContainers" && !found.is_sorted() {
            let mut sorted = found.clone();
            sorted.sort_unstable();
            let names = |order: &[usize]| -> Vec<&Value> {
                let name = |index| live.iter().find(|(own, _)| own == index).map(|(_, item)| &item["name"]);
                order.iter().filter_map(name).collect()
            };
            let [said, live] = [names(&found), names(&sorted)].map(|names| json!(names));
            self.note(path, How::Order, [Some(&said), Some(&live)]);
        }
        if !SHARED.contains(&path.name.as_str()) {
            for (index, item) in live.iter().filter(|(index, _)| !found.contains(index)) {
                self.added(path, item, *index);
            }
        }
    }

    fn added(&mut self, list: &Path, item: &Value, index: usize) {
        if SHARED.contains(&list.name.as_str()) {
            return;
        }
        self.note(&list.item(key(&list.name, item), index), How::Added, [None, Some(item)]);
    }

    fn note(&mut self, path: &Path, how: How, values: [Option<&Value>; 2]) {
        let is_unset = values[0].is_some_and(is_nothing) && !KEPT.contains(&path.name.as_str());
        let values = told(&path.text, values).filter(|_| !self.is_secret);
        self.differences.push(Difference { at: path.text.clone(), how, is_unset, values });
    }
}

/// Whether the API server stores nothing for such a value.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.iter().all(|(name, value)| is_nothing(value) && !KEPT.contains(&name.as_str())),
        Value::Bool(true) => false,
    }
}

/// The items of a list with their places; of variables that stand twice the last, which is the one that holds.
fn effective<'a>(list: &str, items: &'a [Value]) -> Vec<(usize, &'a Value)> {
    let is_last = |index: usize, item: &Value| {
        list != "env" || !items[index + 1..].iter().any(|later| later["name"] == item["name"])
    };
    items.iter().enumerate().filter(|(index, item)| is_last(*index, item)).collect()
}

fn is_same_item(list: &Path, said: &Value, live: &Value) -> bool {
    let protocol = |item: &Value| item["protocol"].as_str().unwrap_or("TCP").to_owned();
    keys(&list.name).iter().any(|key| {
        let is_number = matches!(*key, "containerPort" | "port");
        !said[key].is_null()
            && is_same(&said[key], &live[key], false)
            && (!is_number || protocol(said) == protocol(live))
    })
}

/// Whether two values are the same as Kubernetes stores them.
fn is_same(said: &Value, live: &Value, is_quantity: bool) -> bool {
    let [one, other] = [said, live].map(quantity::text);
    if one == other || is_quantity && quantity::same(&one, &other) {
        return true;
    }
    said.is_number() && live.is_number() && said.as_f64() == live.as_f64()
}

/// A Secret's fields as they are stored: what is given as text is in `data`, in base64.
fn encoded(secret: &Value) -> Map<String, Value> {
    let mut fields = secret.as_object().cloned().unwrap_or_default();
    let text = fields.remove("stringData").unwrap_or_default();
    let mut data = fields.remove("data").and_then(|data| data.as_object().cloned()).unwrap_or_default();
    for value in data.values_mut() {
        // It may be in lines.
        *value = json!(value.as_str().unwrap_or_default().split_whitespace().collect::<String>());
    }
    let text = text.as_object().into_iter().flatten();
    data.extend(text.map(|(key, value)| (key.clone(), json!(STANDARD.encode(quantity::text(value))))));
    fields.insert("data".to_owned(), Value::Object(data));
    fields
}
