//! Suites: which tests there are and what each requires. Types only; [`load`] finds and `read` reads them, [`select`] picks tests.
//!
//! Imports `check` for the kinds of checks and their parameters, and `cluster` for how pods are told apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::check::Check;
use crate::cluster::{Select, Wanted};
use crate::event::CaseId;
use crate::recording::SuiteText;

pub mod explain;
pub mod load;
mod read;
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
    /// How the pods under test are found.
    pub pods: Select,
    /// The servers that must exist, by role. The requirement stands here and not in the release's values,
    /// so that a release that lost a server fails.
    #[schemars(with = "IndexMap<String, Vec<String>>")]
    pub servers: Spanned<IndexMap<String, Vec<Spanned<String>>>>,
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

#[derive(Debug)]
pub struct Suite {
    pub name: String,
    /// How the pods under test are found.
    pub pods: Select,
    /// The servers that must exist, in the order of the file.
    pub servers: Arc<[String]>,
    pub text: SuiteText,
    pub cases: Vec<PlannedCase>,
}

/// Every server of the suites, once, with the first suite that has it.
pub fn servers(suites: &[Suite]) -> impl Iterator<Item = (&Suite, &String)> {
    let all = suites.iter().flat_map(|suite| suite.servers.iter().map(move |server| (suite, server)));
    let mut known = BTreeSet::new();
    all.filter(move |(_, server)| known.insert(*server))
}

pub fn wanted(suites: &[Suite]) -> Wanted {
    Wanted::of(suites.iter().map(|suite| &suite.pods))
}

#[derive(Debug, Clone)]
pub struct PlannedCase {
    pub id: CaseId,
    pub check: Arc<Check>,
}

fn join(first: &str, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { format!("{first} {second}") }
}
