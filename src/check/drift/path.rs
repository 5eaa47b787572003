//! Where a field is, in kubectl's notation for people. Pure.

use serde_json::Value;

/// Where a field is.
#[derive(Debug, Clone, Default)]
pub struct Path {
    /// As kubectl's `-o jsonpath` has it.
    pub text: String,
    /// The last name in it: that of the list, for an item of one.
    pub name: String,
    /// The name before that.
    pub within: String,
}

impl Path {
    pub fn field(&self, name: &str) -> Self {
        let text = format!("{}.{}", self.text, name.replace('.', "\\."));
        Self { text, name: name.to_owned(), within: self.name.clone() }
    }

    /// An item of a list, by what tells it from the others.
    pub fn item(&self, key: Option<(&str, &Value)>, index: usize) -> Self {
        let text = match key {
            Some((key, value)) => format!("{}[?(@.{key}=={value})]", self.text),
            None => format!("{}[{index}]", self.text),
        };
        Self { text, ..self.clone() }
    }
}

/// Whether one place is within another, or is it.
pub fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Whether one of two places is within the other.
pub fn overlap(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}
