//! An object of a manifest and the live one, side by side: what is another, missing, added, or in another order. Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::{ASSIGNED, FALSE, KEPT, KNOWN, QUANTITIES, QUANTITY, SETS, SHARED, WHOLE, is_nothing};
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
            How::Added => [absent(at, revision), "it was added".to_owned()],
        }
    }
}

/// That a field should not be there.
pub fn absent(at: &str, revision: u64) -> String {
    format!("no {at}: the manifest of revision {revision} does not have it")
}

#[derive(Debug, Default)]
pub struct Comparison {
    pub differences: Vec<Difference>,
    pub places: Vec<String>,
    /// Nothing of the values is shown.
    is_secret: bool,
    /// The API server adds nothing by itself to the lists of such an object.
    is_known: bool,
}

pub fn compare(said: &Value, live: &Value) -> Comparison {
    let kind = said["kind"].as_str().unwrap_or_default();
    // A Pod gets the volume of its service account.
    let is_known = kind != "Pod" && said["apiVersion"].as_str().is_some_and(|version| KNOWN.contains(&version));
    let mut compared = Comparison { is_secret: kind == "Secret", is_known, ..Comparison::default() };
    let root = Path::default();
    let metadata = root.field("metadata");
    for part in ["labels", "annotations"] {
        compared.value(&metadata.field(part), &said["metadata"][part], live["metadata"].get(part));
    }
    let encoded = (kind == "Secret").then(|| encoded(said));
    for (name, said) in encoded.as_ref().or(said.as_object()).into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status") {
            compared.value(&root.field(name), said, live.get(name));
        }
    }
    if kind == "Service" {
        let selector = root.field("spec").field("selector");
        compared.entries(&selector, &said["spec"]["selector"], &live["spec"]["selector"]);
    }
    compared
}

impl Comparison {
    fn value(&mut self, path: &Path, said: &Value, live: Option<&Value>) {
        let (name, is_nothing) = (path.name.as_str(), is_nothing(said));
        let is_whole = self.is_known && WHOLE.contains(&name);
        match (said, live.filter(|live| !live.is_null())) {
            (Value::Null, _) => return,
            // The first is what controllers fill in later.
            _ if name == "caBundle" || is_nothing && ASSIGNED.contains(&name) => {}
            (_, None) if is_nothing && !KEPT.contains(&name) => {}
            (_, None) => self.note(path, How::Missing, [Some(said), None]),
            (Value::Object(said), Some(Value::Object(live))) => return self.object(path, said, live),
            (Value::Array(said), Some(Value::Array(live))) if SETS.contains(&name) => self.set(path, said, live),
            // An empty list says no more than none.
            (Value::Array(said), Some(Value::Array(_))) if said.is_empty() && !is_whole => {}
            (Value::Array(said), Some(Value::Array(live)))
                if said.iter().chain(live).all(|item| key(name, item).is_some()) =>
            {
                return self.items(path, said, live);
            }
            (Value::Array(said), Some(Value::Array(live))) if said.len() == live.len() => {
                for (index, (said, live)) in said.iter().zip(live).enumerate() {
                    self.value(&path.item(None, index), said, Some(live));
                }
            }
            (_, Some(live)) => {
                let is_quantity = QUANTITIES.contains(&path.within.as_str()) || QUANTITY.contains(&name);
                if !is_same(said, live, is_quantity) {
                    self.note(path, How::Differs, [Some(said), Some(live)]);
                }
            }
        }
        self.places.push(path.text.clone());
    }

    fn object(&mut self, path: &Path, said: &Map<String, Value>, live: &Map<String, Value>) {
        for (name, value) in said {
            self.value(&path.field(name), value, live.get(name));
        }
        if !self.is_known {
            return;
        }
        for (name, value) in live {
            let has_none = said.get(name).is_none_or(Value::is_null);
            let below = path.field(name);
            if has_none && WHOLE.contains(&name.as_str()) {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.added(&below, item, index);
                }
            }
            if has_none && FALSE.contains(&name.as_str()) && *value == true {
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
        for (index, item) in said.iter().enumerate().filter(|(_, item)| !live.contains(item)) {
            self.note(&path.item(None, index), How::Missing, [Some(item), None]);
        }
        for (index, item) in live.iter().enumerate().filter(|(_, item)| !said.contains(item)) {
            self.added(path, item, index);
        }
    }

    /// Compares lists whose items have keys.
    fn items(&mut self, path: &Path, said: &[Value], all: &[Value]) {
        let [said, live] = [said, all].map(|items| effective(&path.name, items));
        let mut found: Vec<usize> = Vec::new();
        for (_, item) in &said {
            let its = live.iter().find(|(index, other)| !found.contains(index) && is_same_item(path, item, other));
            if let Some((index, other)) = its {
                found.push(*index);
                self.value(&path.item(key(&path.name, other), *index), item, Some(other));
            } else {
                self.note(&path.item(key(&path.name, item), 0), How::Missing, [Some(item), None]);
            }
        }
        if path.name == "initContainers" && !found.is_sorted() {
            let mut sorted = found.clone();
            sorted.sort_unstable();
            let names = |order: &[usize]| order.iter().map(|index| all[*index]["name"].clone()).collect::<Value>();
            self.note(path, How::Order, [Some(&names(&found)), Some(&names(&sorted))]);
        }
        for (index, item) in live.iter().filter(|(index, _)| !found.contains(index)) {
            self.added(path, item, *index);
        }
    }

    fn added(&mut self, list: &Path, item: &Value, index: usize) {
        if !SHARED.contains(&list.name.as_str()) {
            self.note(&list.item(key(&list.name, item), index), How::Added, [None, Some(item)]);
        }
    }

    fn note(&mut self, path: &Path, how: How, values: [Option<&Value>; 2]) {
        let is_unset = values[0].is_some_and(is_nothing) && !KEPT.contains(&path.name.as_str());
        let values = told(&path.text, values).filter(|_| !self.is_secret);
        self.differences.push(Difference { at: path.text.clone(), how, is_unset, values });
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
