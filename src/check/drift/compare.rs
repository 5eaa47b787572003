//! Compares an object of a manifest with the live one: what differs, is missing, was added, or has another order. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::{
    ASSIGNED_FIELDS, CLOSED_LISTS, CONTROLLER_LISTS, FALSE_BY_DEFAULT, KEPT_IF_ZERO, KNOWN_VERSIONS, QUANTITY_FIELDS,
    QUANTITY_MAPS, UNORDERED_LISTS, is_zero,
};
use super::path::Path;
use crate::check::pod::quantity;
use crate::cluster::manifest::{key, keys, shown};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Differs,
    Missing,
    /// Only the live object has the item, entry or field.
    Added,
    /// The init containers have another order.
    Order,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Difference {
    /// The field, in kubectl's `JSONPath` notation.
    pub at: String,
    #[serde(rename = "how")]
    pub change: Change,
    /// Whether the manifest's value is one that Kubernetes omits, and may replace by a default.
    pub is_unset: bool,
    /// The desired and live values; `None` if they may be secret.
    pub values: Option<[String; 2]>,
}

impl Difference {
    pub fn expected_and_seen(&self, revision: u64) -> [String; 2] {
        let at = &self.at;
        let [desired, live] = match &self.values {
            Some(values) => values.each_ref().map(|value| format!("`{value}`")),
            None => ["a value that may be secret", "a different value"].map(str::to_owned),
        };
        let source = format!("as in the manifest of revision {revision}");
        match self.change {
            Change::Differs => [format!("{at} to be {desired}, {source}"), live],
            Change::Missing => [format!("{at} to be {desired}, {source}"), "missing".to_owned()],
            Change::Order => [format!("{at} in the order {desired}, {source}"), live],
            Change::Added => [absent(at, revision), "added to the live object".to_owned()],
        }
    }
}

pub fn absent(at: &str, revision: u64) -> String {
    format!("no {at}: not in the manifest of revision {revision}")
}

#[derive(Debug, Default)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    /// The fields that were compared, in kubectl's `JSONPath` notation.
    pub fields: Vec<String>,
    /// Whether to withhold all values.
    is_secret: bool,
    /// Whether the facts about [`CLOSED_LISTS`] and [`FALSE_BY_DEFAULT`] hold for the object.
    is_known: bool,
}

pub fn compare(desired: &Value, live: &Value) -> Comparison {
    let kind = desired["kind"].as_str().unwrap_or_default();
    // Kubernetes adds the volume of the service account to a Pod.
    let is_known =
        kind != "Pod" && desired["apiVersion"].as_str().is_some_and(|version| KNOWN_VERSIONS.contains(&version));
    let mut compared = Comparison { is_secret: kind == "Secret", is_known, ..Comparison::default() };
    let root = Path::default();
    let metadata = root.field("metadata");
    for part in ["labels", "annotations"] {
        compared.value(&metadata.field(part), &desired["metadata"][part], live["metadata"].get(part));
    }
    let encoded = (kind == "Secret").then(|| encoded(desired));
    for (name, desired) in encoded.as_ref().or(desired.as_object()).into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            compared.value(&root.field(name), desired, live.get(name));
        }
    }
    if kind == "Service" {
        let selector = root.field("spec").field("selector");
        compared.entries(&selector, &desired["spec"]["selector"], &live["spec"]["selector"]);
    }
    compared
}

impl Comparison {
    fn value(&mut self, path: &Path, desired: &Value, live: Option<&Value>) {
        let (name, is_zero) = (path.name.as_str(), is_zero(desired));
        let is_closed = self.is_known && CLOSED_LISTS.contains(&name);
        match (desired, live.filter(|live| !live.is_null())) {
            (Value::Null, _) => return,
            // Controllers set caBundle later.
            _ if name == "caBundle" || is_zero && ASSIGNED_FIELDS.contains(&name) => {}
            (_, None) if is_zero && !KEPT_IF_ZERO.contains(&name) => {}
            (_, None) => self.note(path, Change::Missing, [Some(desired), None]),
            (Value::Object(desired), Some(Value::Object(live))) => return self.object(path, desired, live),
            (Value::Array(desired), Some(Value::Array(live))) if UNORDERED_LISTS.contains(&name) => {
                self.set(path, desired, live);
            }
            // An empty list is the same as none.
            (Value::Array(desired), Some(Value::Array(_))) if desired.is_empty() && !is_closed => {}
            (Value::Array(desired), Some(Value::Array(live)))
                if desired.iter().chain(live).all(|item| key(name, item).is_some()) =>
            {
                return self.items(path, desired, live);
            }
            (Value::Array(desired), Some(Value::Array(live))) if desired.len() == live.len() => {
                for (index, (desired, live)) in desired.iter().zip(live).enumerate() {
                    self.value(&path.item(None, index), desired, Some(live));
                }
            }
            (_, Some(live)) => {
                let is_quantity = QUANTITY_MAPS.contains(&path.parent.as_str()) || QUANTITY_FIELDS.contains(&name);
                if !is_same(desired, live, is_quantity) {
                    self.note(path, Change::Differs, [Some(desired), Some(live)]);
                }
            }
        }
        self.fields.push(path.text.clone());
    }

    fn object(&mut self, path: &Path, desired: &Map<String, Value>, live: &Map<String, Value>) {
        for (name, value) in desired {
            self.value(&path.field(name), value, live.get(name));
        }
        if !self.is_known {
            return;
        }
        for (name, value) in live {
            let is_absent = desired.get(name).is_none_or(Value::is_null);
            let below = path.field(name);
            if is_absent && CLOSED_LISTS.contains(&name.as_str()) {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.added(&below, item, index);
                }
            }
            if is_absent && FALSE_BY_DEFAULT.contains(&name.as_str()) && *value == true {
                self.note(&below, Change::Added, [None, Some(value)]);
            }
            if name == "nodeSelector" {
                self.entries(&below, desired.get(name).unwrap_or(&Value::Null), value);
            }
        }
    }

    fn entries(&mut self, path: &Path, desired: &Value, live: &Value) {
        for (name, value) in live.as_object().into_iter().flatten().filter(|(name, _)| desired.get(name).is_none()) {
            self.note(&path.field(name), Change::Added, [None, Some(value)]);
        }
    }

    fn set(&mut self, path: &Path, desired: &[Value], live: &[Value]) {
        for (index, item) in desired.iter().enumerate().filter(|(_, item)| !live.contains(item)) {
            self.note(&path.item(None, index), Change::Missing, [Some(item), None]);
        }
        for (index, item) in live.iter().enumerate().filter(|(_, item)| !desired.contains(item)) {
            self.added(path, item, index);
        }
    }

    fn items(&mut self, path: &Path, desired: &[Value], all: &[Value]) {
        let [desired, live] = [desired, all].map(|items| effective(&path.name, items));
        let mut found: Vec<usize> = Vec::new();
        for (_, item) in &desired {
            let its = live.iter().find(|(index, other)| !found.contains(index) && is_same_item(path, item, other));
            if let Some((index, other)) = its {
                found.push(*index);
                self.value(&path.item(key(&path.name, other), *index), item, Some(other));
            } else {
                self.note(&path.item(key(&path.name, item), 0), Change::Missing, [Some(item), None]);
            }
        }
        if path.name == "initContainers" && !found.is_sorted() {
            let mut sorted = found.clone();
            sorted.sort_unstable();
            let names = |order: &[usize]| order.iter().map(|index| all[*index]["name"].clone()).collect::<Value>();
            self.note(path, Change::Order, [Some(&names(&found)), Some(&names(&sorted))]);
        }
        for (index, item) in live.iter().filter(|(index, _)| !found.contains(index)) {
            self.added(path, item, *index);
        }
    }

    fn added(&mut self, list: &Path, item: &Value, index: usize) {
        if !CONTROLLER_LISTS.contains(&list.name.as_str()) {
            self.note(&list.item(key(&list.name, item), index), Change::Added, [None, Some(item)]);
        }
    }

    fn note(&mut self, path: &Path, change: Change, values: [Option<&Value>; 2]) {
        let is_unset = values[0].is_some_and(is_zero) && !KEPT_IF_ZERO.contains(&path.name.as_str());
        let values = shown(&path.text, values).filter(|_| !self.is_secret);
        self.differences.push(Difference { at: path.text.clone(), change, is_unset, values });
    }
}

/// The items of a list with their indexes; only the last of several variables of one name, which is the effective one.
fn effective<'a>(list: &str, items: &'a [Value]) -> Vec<(usize, &'a Value)> {
    let is_last = |index: usize, item: &Value| {
        list != "env" || !items[index + 1..].iter().any(|later| later["name"] == item["name"])
    };
    items.iter().enumerate().filter(|(index, item)| is_last(*index, item)).collect()
}

fn is_same_item(list: &Path, desired: &Value, live: &Value) -> bool {
    let protocol = |item: &Value| item["protocol"].as_str().unwrap_or("TCP").to_owned();
    keys(&list.name).iter().any(|key| {
        let is_number = matches!(*key, "containerPort" | "port");
        !desired[key].is_null()
            && is_same(&desired[key], &live[key], false)
            && (!is_number || protocol(desired) == protocol(live))
    })
}

/// Whether Kubernetes stores two values alike.
fn is_same(desired: &Value, live: &Value, is_quantity: bool) -> bool {
    let [one, other] = [desired, live].map(quantity::text);
    if one == other || is_quantity && quantity::equal(&one, &other) {
        return true;
    }
    desired.is_number() && live.is_number() && desired.as_f64() == live.as_f64()
}

/// A Secret's fields as the API server stores them: `stringData` becomes base64 in `data`.
fn encoded(secret: &Value) -> Map<String, Value> {
    let mut fields = secret.as_object().cloned().unwrap_or_default();
    let text = fields.remove("stringData").unwrap_or_default();
    let mut data = fields.remove("data").and_then(|data| data.as_object().cloned()).unwrap_or_default();
    for value in data.values_mut() {
        // Base64 may be wrapped.
        *value = json!(value.as_str().unwrap_or_default().split_whitespace().collect::<String>());
    }
    let text = text.as_object().into_iter().flatten();
    data.extend(text.map(|(key, value)| (key.clone(), json!(STANDARD.encode(quantity::text(value))))));
    fields.insert("data".to_owned(), Value::Object(data));
    fields
}
