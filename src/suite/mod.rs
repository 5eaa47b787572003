//! Suites: the tests and their requirements. [`load`] finds suite files, `read` parses them, [`select`] selects tests.
//!

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use crate::check::{Check, System};
use crate::cluster::Wanted;
use crate::event::TestId;
use crate::recording::SuiteText;

pub mod explain;
pub mod load;
mod read;
pub mod schema;
pub mod select;

pub use load::load;
pub use select::select;

/// A suite file.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SuiteFile {
    /// The suite's name: the first part of its tests' names, and the file name of its reports.
    #[schemars(with = "String", extend("pattern" = "^[a-z0-9-]+$"))]
    pub suite: Spanned<String>,
    /// A description for readers.
    pub about: String,
    /// The system under test: `file-simulator`, the path of a system file, or an inline description.
    #[schemars(with = "SystemSource")]
    pub system: Spanned<SystemSource>,
    /// The tests.
    #[schemars(with = "Vec<Test>", length(min = 1))]
    pub tests: Spanned<Vec<Test>>,
}

/// A check, and the servers that it runs for.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Test {
    /// The name of the check's tests within the suite.
    #[schemars(with = "String", extend("pattern" = "^[a-z0-9-]+$"))]
    pub slug: Spanned<String>,
    /// Roles, servers or `all`: one test for each server. Absent for a check of the system as a whole.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub on: Vec<Spanned<String>>,
    /// The check.
    pub check: Check,
}

/// Where a suite's system is described.
#[derive(Debug)]
pub enum SystemSource {
    /// The name of a built-in system, or the path of a file.
    Named(String),
    Inline(Arc<System>),
}

impl<'de> Deserialize<'de> for SystemSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SystemSourceVisitor)
    }
}

struct SystemSourceVisitor;

/// Not derived, because errors in an untagged enum have no place.
impl<'de> Visitor<'de> for SystemSourceVisitor {
    type Value = SystemSource;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a system, the path of its file, or its description")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<SystemSource, E> {
        Ok(SystemSource::Named(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SystemSource, A::Error> {
        System::deserialize(MapAccessDeserializer::new(map)).map(|system| SystemSource::Inline(Arc::new(system)))
    }
}

impl JsonSchema for SystemSource {
    fn schema_name() -> Cow<'static, str> {
        "SystemSource".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, generator.subschema_for::<System>()]})
    }
}

#[derive(Debug)]
pub struct Suite {
    pub name: String,
    pub system: Arc<System>,
    pub text: SuiteText,
    pub tests: Vec<PlannedTest>,
}

/// The servers of the suites, each once, with the first suite that lists it.
pub fn servers(suites: &[Suite]) -> impl Iterator<Item = (&Suite, &String)> {
    let all = suites.iter().flat_map(|suite| suite.system.names().map(move |server| (suite, server)));
    let mut known = BTreeSet::new();
    all.filter(move |(_, server)| known.insert(*server))
}

pub fn wanted(suites: &[Suite]) -> Wanted {
    Wanted::of(suites.iter().map(|suite| &suite.system.pods))
}

#[derive(Debug, Clone)]
pub struct PlannedTest {
    pub id: TestId,
    pub check: Arc<Check>,
}

/// Resolves the test that blocks another one to its name. Checks refer to it by kind and server, such as `pods::nas-1`; the
/// blocked test's suite is searched first. A full name is returned as it is; `None` if no suite has such a test.
pub fn blocker<'a>(by: &str, blocked: &TestId, tests: impl Iterator<Item = &'a PlannedTest>) -> Option<String> {
    let mut parts = by.split("::");
    let (kind, server, None) = (parts.next()?, parts.next(), parts.next()) else { return Some(by.to_owned()) };
    let is_blocking = |test: &&PlannedTest| test.check.kind() == kind && test.id.server.as_deref() == server;
    tests.filter(is_blocking).min_by_key(|test| test.id.suite != blocked.suite).map(|test| test.id.name())
}

fn join(first: &str, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { format!("{first} {second}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_blocking_test_is_found_by_its_kind_and_in_the_blocked_tests_suite_first() {
        let id = |suite: &str, slug: &str, server: Option<&str>| TestId {
            suite: suite.to_owned(),
            slug: slug.to_owned(),
            server: server.map(str::to_owned),
        };
        let test = |suite: &str, slug: &str, server: Option<&str>, kind: &str| PlannedTest {
            id: id(suite, slug, server),
            check: serde_json::from_value(json!({(kind): {}})).unwrap(),
        };
        let tests = [
            test("one", "ready", Some("a"), "pods"),
            test("two", "pods", Some("a"), "fsid"),
            test("two", "runs", Some("a"), "pods"),
            test("one", "helm", None, "release"),
        ];
        for (suite, by, name) in [
            ("one", "pods::a", Some("ready::a")),
            ("two", "pods::a", Some("runs::a")),
            ("three", "pods::a", Some("ready::a")),
            ("two", "release", Some("helm")),
            ("one", "pods::b", None),
            ("one", "subfolder::a", None),
            ("one", "two::runs::a", Some("two::runs::a")),
        ] {
            let blocked = id(suite, "latency", Some("a"));
            assert_eq!(blocker(by, &blocked, tests.iter()).as_deref(), name, "{suite} {by}");
        }
    }
}
