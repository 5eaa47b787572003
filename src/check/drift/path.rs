//! The path of a field, in kubectl's `JSONPath` notation. Pure.

use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct Path {
    pub text: String,
    /// The last name in it; for an item of a list, the list's name.
    pub name: String,
    /// The name before `name`.
    pub parent: String,
}

impl Path {
    pub fn field(&self, name: &str) -> Self {
        let text = format!("{}.{}", self.text, name.replace('.', "\\."));
        Self { text, name: name.to_owned(), parent: self.name.clone() }
    }

    /// An item of a list, by its key if it has one.
    pub fn item(&self, key: Option<(&str, &Value)>, index: usize) -> Self {
        let text = match key {
            Some((key, value)) => format!("{}[?(@.{key}=={value})]", self.text),
            None => format!("{}[{index}]", self.text),
        };
        Self { text, ..self.clone() }
    }
}

/// Whether a path is the outer one or inside it.
pub fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

pub fn overlap(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}
