//! Which objects a list or watch is about: label and field selectors. Imports what was asked.

use serde_json::Value;

use super::failure::Failure;
use super::request::Asked;

/// What an object has to be like.
pub(super) struct Selector {
    labels: Vec<Requirement>,
    name: Option<String>,
}

/// What one label has to be like: there, with one of the values if there are any; negated: not so.
struct Requirement {
    key: String,
    values: Option<Vec<String>>,
    is_negated: bool,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`.
    pub fn read(asked: &Asked) -> Result<Self, Failure> {
        let labels: Result<_, _> =
            terms(asked.get("labelSelector").unwrap_or_default()).into_iter().map(requirement).collect();
        let mut name = None;
        for term in asked.get("fieldSelector").unwrap_or_default().split(',').filter(|term| !term.is_empty()) {
            let unreadable = || Failure::bad(format!("invalid selector: '{term}'; can't understand '{term}'"));
            let (field, value) = term.split_once('=').ok_or_else(unreadable)?;
            if field != "metadata.name" {
                return Err(Failure::bad(format!("field label not supported: {field}")));
            }
            name = Some(value.trim_start_matches('=').to_owned());
        }
        Ok(Self { labels: labels?, name })
    }

    /// Whether an object is like that.
    pub fn matches(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let label = |key: &str| metadata["labels"].get(key).and_then(Value::as_str);
        let holds = |requirement: &Requirement| {
            let is_among =
                |own: &str| requirement.values.as_ref().is_none_or(|all| all.iter().any(|value| value == own));
            label(&requirement.key).is_some_and(is_among) != requirement.is_negated
        };
        self.name.as_ref().is_none_or(|name| metadata["name"] == **name) && self.labels.iter().all(holds)
    }
}

/// The parts between commas, apart from those in parentheses.
fn terms(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn requirement(term: &str) -> Result<Requirement, Failure> {
    let set = term.strip_suffix(')').and_then(|term| term.split_once('('));
    let many = |set: &str| Some(set.split(',').map(|value| value.trim().to_owned()).collect());
    let one = |value: &str| Some(vec![value.trim_start_matches('=').trim().to_owned()]);
    let (key, values, is_negated) = if let Some(key) = term.strip_prefix('!') {
        (key, None, true)
    } else if let Some((key, set)) = set.and_then(|(key, set)| Some((key.trim().strip_suffix(" notin")?, set))) {
        (key, many(set), true)
    } else if let Some((key, set)) = set.and_then(|(key, set)| Some((key.trim().strip_suffix(" in")?, set))) {
        (key, many(set), false)
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, one(value), true)
    } else if let Some((key, value)) = term.split_once('=') {
        (key, one(value), false)
    } else {
        (term, None, false)
    };
    let key = key.trim().to_owned();
    let is_key =
        !key.is_empty() && key.chars().all(|character| character.is_alphanumeric() || "-_./".contains(character));
    let requirement = is_key.then_some(Requirement { key, values, is_negated });
    requirement.ok_or_else(|| Failure::bad(format!("unable to parse requirement: {term}")))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};
    use serde_json::json;

    use super::*;

    fn read(query: &str) -> Result<Selector, Failure> {
        let uri = format!("/api/v1/namespaces/file-simulator/pods?{query}").parse().unwrap();
        Selector::read(&Asked::read(&Method::GET, &uri, &HeaderMap::new()))
    }

    #[test]
    fn all_requirements_have_to_hold() {
        let object = json!({"metadata": {"name": "a-1", "labels": {"app": "a", "example.com/role": "input"}}});
        for (selector, matches) in [
            ("labelSelector=app%3Da%2Cexample.com%2Frole", true),
            ("labelSelector=app%3D%3Da,!other", true),
            ("labelSelector=app+in+(b,a),app+notin+(c)", true),
            ("labelSelector=other!%3Da&fieldSelector=metadata.name%3Da-1", true),
            ("labelSelector=app%3Da,app!%3Da", false),
            ("labelSelector=!app", false),
            ("labelSelector=other", false),
            ("labelSelector=app+notin+(b,a)", false),
            ("fieldSelector=metadata.name%3Da-2", false),
        ] {
            assert_eq!(read(selector).ok().map(|read| read.matches(&object)), Some(matches), "{selector}");
        }
        for unreadable in ["labelSelector=%3D%3D", "labelSelector=a+in+x", "fieldSelector=status.phase%3DRunning"] {
            assert_eq!(read(unreadable).err().map(|failure| failure.code), Some(400), "{unreadable}");
        }
    }
}
