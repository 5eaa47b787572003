//! Suites: which tests there are and what each requires. Types only; [`load`] finds and `read` reads them, [`select`] picks tests.
//!
//! Imports `check` for the kinds of checks and their parameters, and `cluster` for how pods are told apart.

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

/// A suite file as written.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SuiteFile {
    /// The suite's name: the first part of its tests' names, and its report's file name.
    #[schemars(with = "String", extend("pattern" = "^[a-z0-9-]+$"))]
    pub suite: Spanned<String>,
    /// What the suite is about, for a reader.
    pub about: String,
    /// The system under test: `file-simulator`, the path of a file with another, or that other itself.
    #[schemars(with = "Described")]
    pub system: Spanned<Described>,
    /// The tests.
    #[schemars(with = "Vec<Test>", length(min = 1))]
    pub tests: Spanned<Vec<Test>>,
}

/// One check and the servers it is made of.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Test {
    /// The check's name within the suite.
    #[schemars(with = "String", extend("pattern" = "^[a-z0-9-]+$"))]
    pub slug: Spanned<String>,
    /// Roles or servers, or `all`; one test for each. Absent for a check of the whole.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub on: Vec<Spanned<String>>,
    /// What is checked.
    pub check: Check,
}

/// What a suite says of the system under test.
#[derive(Debug)]
pub enum Described {
    /// Its name, or the path of its file.
    Elsewhere(String),
    Here(Arc<System>),
}

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DescribedVisitor)
    }
}

struct DescribedVisitor;

/// By hand, so that what is wrong in it has its place.
impl<'de> Visitor<'de> for DescribedVisitor {
    type Value = Described;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a system, the path of its file, or its description")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Described, E> {
        Ok(Described::Elsewhere(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Described, A::Error> {
        System::deserialize(MapAccessDeserializer::new(map)).map(|system| Described::Here(Arc::new(system)))
    }
}

impl JsonSchema for Described {
    fn schema_name() -> Cow<'static, str> {
        "Described".into()
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

/// Every server of the suites, once, with the first suite that has it.
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

/// The name of the test that keeps another one from being judged. A check knows its kind and server, such as `pods::nas-1`; what
/// it is called, the suites say, first that of the other test. `None` if none has such a test. A whole name, which a run knows,
/// stays.
pub fn blocker<'a>(by: &str, blocked: &TestId, tests: impl Iterator<Item = &'a PlannedTest>) -> Option<String> {
    let mut parts = by.split("::");
    let (kind, server, None) = (parts.next()?, parts.next(), parts.next()) else { return Some(by.to_owned()) };
    let is_it = |test: &&PlannedTest| test.check.kind() == kind && test.id.server.as_deref() == server;
    tests.filter(is_it).min_by_key(|test| test.id.suite != blocked.suite).map(|test| test.id.name())
}

fn join(first: &str, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { format!("{first} {second}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_blocks_a_test_is_looked_for_in_its_own_suite_first_and_by_its_kind() {
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
