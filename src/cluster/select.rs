//! Which objects belong to servers, as suites define it, and the label selector for all of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// How to find the servers' pods: the labels they share, and the label that names the server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Select {
    /// Labels of every server's pods.
    pub labels: BTreeMap<String, String>,
    /// The label whose value is the server's name.
    pub server_label: String,
}

impl Select {
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// What several suites select: the labels that their pods have in common, which requests use as selector.
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

    /// As a label selector. It does not require a server label: a pod without one is an extra pod that tests must see.
    pub fn selector(&self) -> String {
        self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }

    pub(super) fn matches(&self, labels: &Value) -> bool {
        self.labels.iter().all(|(key, value)| labels[key] == **value)
    }

    /// The server that an object with these labels belongs to; `None` if the suites use different server labels.
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
    fn the_selector_has_the_labels_that_all_suites_share() {
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
