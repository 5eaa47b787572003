//! Where a field is: in kubectl's notation for people, as a JSON pointer for patches. Pure.

use serde_json::Value;

/// Where a field is.
#[derive(Debug, Clone, Default)]
pub struct Path {
    /// As kubectl's `-o jsonpath` has it.
    pub text: String,
    /// RFC 6901.
    pub pointer: String,
    /// The last name in it: that of the list, for an item of one.
    pub name: String,
}

impl Path {
    /// A field of an object.
    pub fn field(&self, name: &str) -> Self {
        Self {
            text: format!("{}.{}", self.text, name.replace('.', "\\.")),
            pointer: format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1")),
            name: name.to_owned(),
        }
    }

    /// An item of a list, by what tells it from the others.
    pub fn item(&self, key: Option<(&str, &Value)>, index: usize) -> Self {
        let text = match key {
            Some((key, value)) => format!("{}[?(@.{key}=={value})]", self.text),
            None => format!("{}[{index}]", self.text),
        };
        Self { text, pointer: format!("{}/{index}", self.pointer), name: self.name.clone() }
    }
}

/// Whether one place is within another, or is it.
pub fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_written_as_kubectl_and_json_patch_have_it() {
        let path = Path::default().field("metadata").field("app.kubernetes.io/name");
        assert_eq!(path.text, r".metadata.app\.kubernetes\.io/name");
        assert_eq!(path.pointer, "/metadata/app.kubernetes.io~1name");
        let item = Path::default().field("env").item(Some(("name", &json!("X"))), 2).field("value");
        assert_eq!((item.text.as_str(), item.pointer.as_str()), (r#".env[?(@.name=="X")].value"#, "/env/2/value"));
        assert!(is_within(&item.text, ".env") && !is_within(".envFrom", ".env"));
    }
}
