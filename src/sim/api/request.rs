//! What a request asks, read from its method, path and query. Imports the kinds of objects and the namespace.

use http::{HeaderMap, Method, Uri, header::ACCEPT};

use super::super::NAMESPACE;
use super::super::store::Kind;

/// What a request asks.
pub(super) struct Asked {
    /// The verb as in RBAC.
    pub verb: &'static str,
    /// The API group; empty for the core one.
    pub group: String,
    /// The resource as in RBAC, such as `pods/exec`; with its group if it is none of ours; a path that has none.
    pub resource: String,
    /// The kind of object; none for subresources and for what is none of ours.
    pub kind: Option<Kind>,
    /// The namespace; none where all are asked for, and for what is in none.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: Option<String>,
    /// Whether metadata alone is asked for.
    pub is_partial: bool,
    query: Vec<(String, String)>,
}

impl Asked {
    /// Reads a request.
    pub fn read(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let query = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let query = query.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut asked = Self {
            verb: "get",
            group: String::new(),
            resource: uri.path().trim_matches('/').to_owned(),
            kind: None,
            namespace: None,
            name: None,
            is_partial: accepts.contains("as=PartialObjectMetadata"),
            query: query.map(|(key, value)| (decoded(key), decoded(value))).collect(),
        };
        let segments: Vec<String> = uri.path().split('/').skip(1).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return asked,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            _ => (None, rest),
        };
        let [plural, rest @ ..] = rest else { return asked };
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let kind = Kind::ALL.into_iter().find(|kind| kind.names()[0] == api_version && kind.names()[2] == *plural);
        let is_ours = kind.is_some() || *plural == "selfsubjectaccessreviews";
        group.clone_into(&mut asked.group);
        asked.resource = if is_ours { (*plural).to_owned() } else { format!("{plural}.{group}") };
        asked.namespace = namespace.map(str::to_owned);
        asked.name = rest.first().map(|name| (*name).to_owned());
        if let [_, subresource, ..] = rest {
            asked.resource = format!("{}/{subresource}", asked.resource);
        } else {
            asked.kind = kind;
            asked.verb = match (method, rest) {
                (&Method::GET, [_, ..]) => "get",
                (&Method::GET, []) if asked.is("watch") => "watch",
                (&Method::GET, []) => "list",
                (&Method::POST, []) => "create",
                (&Method::DELETE, [_, ..]) => "delete",
                _ => "update",
            };
        }
        asked
    }

    /// A parameter's first value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// A parameter's values.
    pub fn all(&self, key: &str) -> Vec<String> {
        self.query.iter().filter(|(own, _)| own == key).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a parameter is set.
    pub fn is(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }

    /// Whether it is about the cluster's own objects or about the one namespace that has any.
    pub fn has_objects(&self) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == NAMESPACE)
    }

    /// The resource without its subresource.
    pub fn plural(&self) -> &str {
        self.resource.split('/').next().unwrap_or_default()
    }
}

/// Text without the escapes of a URI.
fn decoded(text: &str) -> String {
    let mut rest = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&hex, 16).unwrap_or(b'?')
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
