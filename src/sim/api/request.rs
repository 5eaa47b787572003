//! Parses a request's method, path and query, and matches its selectors. Imports the kinds of objects.

use http::{HeaderMap, Method, Uri, header::ACCEPT};
use serde_json::Value;

use crate::sim::object::{Kind, text};
use crate::sim::world::NAMESPACE;

pub(super) struct RequestInfo {
    pub verb: &'static str,
    pub group: String,
    /// As in RBAC, such as `pods/exec`, with the API group if the simulation lacks the kind; the path for other requests.
    pub resource: String,
    pub kind: Option<Kind>,
    /// `None` for all namespaces and for cluster-scoped objects.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub is_partial: bool,
    query: Vec<(String, String)>,
}

impl RequestInfo {
    pub fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut info = Self {
            verb: "get",
            group: String::new(),
            resource: uri.path().trim_matches('/').to_owned(),
            kind: None,
            namespace: None,
            name: None,
            is_partial: accepts.contains("as=PartialObjectMetadata"),
            query: query.into_owned().collect(),
        };
        let segments: Vec<&str> = uri.path().split('/').skip(1).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return info,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            _ => (None, rest),
        };
        let [plural, rest @ ..] = rest else { return info };
        group.clone_into(&mut info.group);
        (info.kind, info.resource) = resource(group, version, plural, rest.get(1).copied().unwrap_or_default());
        info.namespace = namespace.map(str::to_owned);
        info.name = rest.first().map(|name| (*name).to_owned());
        info.verb = match (method, rest) {
            (&Method::GET, [_, ..]) => "get",
            (&Method::GET, []) if info.is("watch") => "watch",
            (&Method::GET, []) => "list",
            (&Method::DELETE, [_]) => "delete",
            (&Method::POST, []) => "create",
            _ => "update",
        };
        info
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub fn parsed<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    pub fn all(&self, key: &str) -> Vec<String> {
        self.query.iter().filter(|(name, _)| name == key).map(|(_, value)| value.clone()).collect()
    }

    pub fn is(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }

    /// Whether the request is cluster-scoped, or for the only namespace with objects.
    pub fn has_objects(&self) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == NAMESPACE)
    }

    /// Supports `a=b` and `a!=b` in label selectors, and `a=b` in field selectors.
    pub fn selects(&self, object: &Value) -> bool {
        let terms = |key| self.get(key).unwrap_or_default().split(',').filter(|term| !term.is_empty());
        let label = |key: &str| text(&object["metadata"]["labels"][key]);
        let by_labels = terms("labelSelector").all(|term| match term.split_once('=') {
            Some((key, value)) => key.strip_suffix('!').map_or_else(|| label(key) == value, |key| label(key) != value),
            None => false,
        });
        let field = |path: &str| text(object.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or(&Value::Null));
        let has = |term: &str| term.split_once('=').is_some_and(|(path, value)| field(path) == value);
        by_labels && terms("fieldSelector").all(has) && self.has_objects()
    }
}

/// The kind, if the simulation supports it, and [`RequestInfo::resource`].
pub(super) fn resource(group: &str, version: &str, plural: &str, subresource: &str) -> (Option<Kind>, String) {
    let kind = Kind::named(format!("{group}/{version}").trim_start_matches('/'), plural);
    let name = if kind.is_some() { plural.to_owned() } else { format!("{plural}.{group}") };
    (kind, if subresource.is_empty() { name } else { format!("{name}/{subresource}") })
}
