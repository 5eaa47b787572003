//! Describes the kinds of checks. Everything is generated: the keys from the [schema], the example from a built-in suite.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::load::{BUILT_IN, load};
use super::schema::schema;
use crate::check::{Check, KindInfo, Need, Subject};

pub const SYSTEM: &str = "system";

pub fn list() -> Vec<String> {
    let kinds = Check::ALL.iter().map(|info| (info.key, info.summary));
    let all = kinds.chain([(SYSTEM, "The system under test: servers, their export, init container and sidecar.")]);
    all.map(|(key, summary)| format!("{key:<18}{summary}")).collect()
}

/// Describes a kind of check, its keys and an example; `None` if the kind is unknown.
pub fn explain(key: &str) -> Option<String> {
    if key == SYSTEM {
        return Some(system());
    }
    let (info, schema) = (Check::ALL.iter().find(|info| info.key == key)?, schema());
    let mut text = format!("{key}: {}\n{}.\n", info.summary, facts(info).join("; "));
    let permitted = |needs: &[Need]| -> BTreeSet<_> {
        needs.iter().flat_map(|need| need.permissions()).map(ToString::to_string).collect()
    };
    let permissions = permitted(info.needs);
    let further = permitted(info.may_need).difference(&permissions).cloned().collect::<BTreeSet<_>>();
    for (what, permissions) in [("Permissions beyond those of every test", permissions), ("For some keys", further)] {
        if !permissions.is_empty() {
            let permissions: Vec<_> = permissions.into_iter().collect();
            let _ = writeln!(text, "{what}: {}.", permissions.join(", "));
        }
    }
    for field in fields(&schema["$defs"]["Check"]["properties"][key]) {
        field.write(&schema, &mut text, 1);
    }
    if let Some((suite, example)) = example(key) {
        let _ = write!(text, "\nIn suite {suite}:\n\n{example}");
    }
    Some(text)
}

fn system() -> String {
    let schema = super::schema::system();
    let mut text =
        "system: The system under test, described in a suite's `system` or in a file that it names.\n".to_owned();
    for field in fields(&schema) {
        field.write(&schema, &mut text, 1);
    }
    text
}

/// What the check judges, needs and proves, and whether it is disruptive.
fn facts(info: &KindInfo) -> Vec<String> {
    let listed = |what: &str, words: Vec<String>| (!words.is_empty()).then(|| format!("{what} {}", words.join(", ")));
    let judges = match info.subject {
        Subject::Server => "Judges a server",
        Subject::System => "Judges the system as a whole",
        Subject::ServerOrSystem => "Judges a server or the system as a whole",
    };
    let needs = listed("needs", info.needs.iter().map(ToString::to_string).collect());
    let may_need = listed("some keys also need", info.may_need.iter().map(ToString::to_string).collect());
    let proves = listed("a PASS proves", info.hops.iter().map(ToString::to_string).collect());
    let disrupts = info.disrupts.then(|| "disruptive, needs --allow-disruption".to_owned());
    [Some(judges.to_owned()), needs, may_need, proves, disrupts].into_iter().flatten().collect()
}

/// A test's check and needs, and whether it is disruptive, in one line.
pub fn line(check: &Check) -> String {
    let needs = Need::ALL.into_iter().filter(|need| check.needs(*need));
    let needs: Vec<String> = needs.map(|need| need.to_string()).collect();
    let needs = if needs.is_empty() { String::new() } else { format!("; needs {}", needs.join(", ")) };
    format!("{}{needs}{}", check.kind(), if check.info().disrupts { "; disruptive" } else { "" })
}

struct Field<'a> {
    name: &'a str,
    is_required: bool,
    schema: &'a Value,
}

/// The required fields come first.
fn fields<'a>(object: &'a Value) -> Vec<Field<'a>> {
    let required = object["required"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = object["properties"].as_object().into_iter().flatten();
    let field = |(name, schema): (&'a String, &'a Value)| {
        let is_required = required.iter().any(|required| required == name.as_str());
        Field { name, is_required, schema }
    };
    let mut all: Vec<_> = all.map(field).collect();
    all.sort_by_key(|field| !field.is_required);
    all
}

impl Field<'_> {
    fn write(&self, schema: &Value, text: &mut String, depth: usize) {
        let (name, words, indent) = (self.name, self.type_in(schema), "  ".repeat(depth));
        let meaning = self.schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let _ = writeln!(text, "\n{indent}{name}: {words}\n{indent}    {meaning}");
        for field in inner(schema, self.schema) {
            field.write(schema, text, depth + 1);
        }
    }

    fn type_in(&self, schema: &Value) -> String {
        let default = &self.schema["default"];
        let default = match default {
            _ if self.is_required => String::new(),
            Value::Null => ", optional".to_owned(),
            default => format!(", default `{}`", default.as_str().map_or_else(|| default.to_string(), str::to_owned)),
        };
        format!("{}{default}", type_name(schema, self.schema))
    }
}

fn referred<'a>(schema: &'a Value, of: &'a Value) -> Option<(&'a str, &'a Value)> {
    let name = of["$ref"].as_str()?.strip_prefix("#/$defs/")?;
    Some((name, &schema["$defs"][name]))
}

fn inner<'a>(schema: &'a Value, of: &'a Value) -> Vec<Field<'a>> {
    let below = of["anyOf"].as_array().into_iter().flatten().chain(of.get("additionalProperties"));
    let referred = referred(schema, of).map(|(_, definition)| definition);
    let own =
        referred.into_iter().flat_map(|definition| fields(definition).into_iter().chain(inner(schema, definition)));
    own.chain(below.flat_map(|below| inner(schema, below))).collect()
}

fn type_name(schema: &Value, of: &Value) -> String {
    if let Some((name, definition)) = referred(schema, of) {
        return if is_named(definition) { name.to_lowercase() } else { type_name(schema, definition) };
    }
    let choice = of["anyOf"].as_array().or_else(|| of["oneOf"].as_array());
    if let Some(choice) = choice {
        let choice = choice.iter().filter(|one| one["type"] != "null");
        return choice.map(|one| type_name(schema, one)).collect::<Vec<_>>().join(" or ");
    }
    if let Some(value) = of["const"].as_str() {
        return format!("`{value}`");
    }
    let types = of["type"].as_array().map_or(std::slice::from_ref(&of["type"]), Vec::as_slice);
    match types.iter().filter_map(Value::as_str).find(|word| *word != "null") {
        Some("string") => "text".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => match (&of["minimum"], &of["maximum"]) {
            (Value::Null, _) => "number".to_owned(),
            (least, Value::Null) => format!("number from {least}"),
            (least, most) => format!("number from {least} to {most}"),
        },
        Some("array") => format!("list of {}", type_name(schema, &of["items"])),
        Some("object") => format!("{} by name", type_name(schema, &of["additionalProperties"])),
        _ => "any value".to_owned(),
    }
}

/// Whether a definition's name is its type: it has keys or its own format.
fn is_named(definition: &Value) -> bool {
    definition["properties"].is_object() || definition["type"] == "string" && definition["enum"].is_null()
}

/// YAML with the order of its keys preserved.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Node {
    Object(IndexMap<String, Node>),
    List(Vec<Node>),
    Scalar(Value),
}

/// The first test of the kind in a built-in suite, and the suite's name.
fn example(key: &str) -> Option<(&'static str, String)> {
    #[derive(Deserialize)]
    struct File {
        tests: Vec<Node>,
    }
    BUILT_IN.iter().find_map(|(name, text)| {
        let suite = load(name).ok()?;
        let slug = &suite.tests.iter().find(|test| test.check.kind() == key)?.id.slug;
        let options = serde_saphyr::options! { strict_booleans: true };
        let file: File = serde_saphyr::from_str_with_options(text, options).ok()?;
        let is_example = |test: &Node| {
            matches!(test, Node::Object(keys)
            if matches!(keys.get("slug"), Some(Node::Scalar(own)) if own == slug)
            && matches!(keys.get("check"), Some(Node::Object(check)) if check.contains_key(key)))
        };
        let test = file.tests.into_iter().find(is_example)?;
        // In YAML 1.2 the key `on` needs no quotes.
        let options = serde_saphyr::ser_options! { yaml_12: true, no_lang_directive: true };
        Some((*name, serde_saphyr::to_string_with_options(&[test], options).ok()?))
    })
}
