//! Which objects are the servers': what a suite says of them, and what the API is asked for because of that. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// Which pods are the servers': labels that all have, and the label with the server's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Select {
    /// Labels that every pod of a server has.
    pub labels: BTreeMap<String, String>,
    /// The label whose value is the server's name.
    pub server_label: String,
}

impl Select {
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// The labels that objects have which any of several suites means: the API is asked for no others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    labels: BTreeMap<String, String>,
    server_labels: BTreeSet<String>,
}

impl Wanted {
    pub fn of<'a>(selects: impl IntoIterator<Item = &'a Select>) -> Self {
        let all = |mut wanted: Self, select: &Select| {
            wanted.labels.retain(|key, value| select.labels.get(key) == Some(value));
            wanted.server_labels.insert(select.server_label.clone());
            wanted
        };
        let mut selects = selects.into_iter().peekable();
        let labels = selects.peek().map(|first| first.labels.clone()).unwrap_or_default();
        selects.fold(Self { labels, ..Self::default() }, all)
    }

    /// The same as a label selector. One without a server's name is meant, too: it is one too many.
    pub fn selector(&self) -> String {
        self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }

    pub(super) fn matches(&self, labels: &Value) -> bool {
        self.labels.iter().all(|(key, value)| labels[key] == **value)
    }

    /// The name of the server that an object with these labels belongs to; `None` if suites name them differently.
    pub(super) fn server<'a>(&self, labels: &'a Value) -> Option<&'a str> {
        let label = self.server_labels.first().filter(|_| self.server_labels.len() == 1)?;
        labels[label].as_str()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_suites_have_in_common_is_asked_for() {
        let select = |labels: Value, name: &str| Select {
            labels: serde_json::from_value(labels).unwrap(),
            server_label: name.to_owned(),
        };
        let one = select(json!({"app": "sim", "tier": "nas"}), "component");
        let both = Wanted::of([&one, &select(json!({"app": "sim"}), "component")]);
        let named_otherwise = Wanted::of([&one, &select(json!({"app": "sim"}), "name")]);
        let selectors = [&Wanted::of([&one]), &both, &Wanted::of([])].map(Wanted::selector);
        assert_eq!(selectors, ["app=sim,tier=nas", "app=sim", ""]);
        let labels = json!({"app": "sim", "component": "nas-1", "name": "nas-1"});
        assert!(both.matches(&labels) && !Wanted::of([&one]).matches(&labels) && !both.matches(&json!(null)));
        let servers = [(&both, &labels), (&both, &json!(null)), (&named_otherwise, &labels)];
        assert_eq!(servers.map(|(wanted, labels)| wanted.server(labels)), [Some("nas-1"), None, None]);
    }
}
