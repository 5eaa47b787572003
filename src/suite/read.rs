//! Reads a suite's text, makes its tests, and says everything that is wrong with it, with places and suggestions.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use super::{PlannedCase, Suite, SuiteFile, Test, join};
use crate::check::Subject;
use crate::error::{Refusal, suggestion};
use crate::event::CaseId;
use crate::recording::SuiteText;
use crate::yaml::{self, place};

const ALL: &str = "all";
/// The most tests that a suite makes: every test that runs costs the cluster requests.
const MOST_TESTS: usize = 10_000;

/// Reads a suite's text; `origin` is its file name, for messages.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(origin: &str, text: &str) -> Result<Suite, Refusal> {
    // What is below is a hundred times what ours have; a bomb of aliases has more.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 50_000,
            max_events: 200_000,
            // There are limits of their own; one anchor may be used in every test.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 8 },
    };
    let file = serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(origin, &error))?;
    let examiner = Examiner { origin, file: &file };
    examiner.names()?;
    let cases = examiner.cases()?;
    let servers = names(&file).map(|server| server.value.clone()).collect();
    let text = SuiteText { origin: origin.to_owned(), text: text.to_owned() };
    Ok(Suite { name: file.suite.value, pods: file.pods, servers, text, cases })
}

struct Examiner<'a> {
    origin: &'a str,
    file: &'a SuiteFile,
}

impl Examiner<'_> {
    fn problem<T>(&self, at: Location, what: impl Display, hint: impl Into<String>) -> Result<T, Refusal> {
        Err(Refusal::usage(format!("{}: {what}", place(self.origin, at)), hint))
    }

    fn names(&self) -> Result<(), Refusal> {
        let file = self.file;
        let (suite, roles, tests) = (&file.suite, &file.servers, &file.tests);
        if !is_name(&suite.value) {
            let hint = "use lower-case letters, digits and hyphens";
            return self.problem(suite.referenced, format!("`{}` cannot name a suite", suite.value), hint);
        }
        if names(file).next().is_none() {
            return self.problem(roles.referenced, "the suite names no servers", "list them by role under `servers:`");
        }
        if tests.value.is_empty() {
            return self.problem(tests.referenced, "the suite has no tests", "list at least one under `tests:`");
        }
        for (role, its) in &roles.value {
            if its.is_empty() {
                return self.problem(
                    roles.referenced,
                    format!("role `{role}` has no servers"),
                    "name one, or remove the role",
                );
            }
            // The same word for the same servers is no matter.
            let is_ambiguous = role == ALL
                || names(file).any(|server| server.value == *role) && its.iter().any(|server| server.value != *role);
            if is_ambiguous {
                let what = format!("role `{role}` is called like a server, or like all of them");
                return self.problem(roles.referenced, what, "call it otherwise");
            }
        }
        let mut seen = HashSet::new();
        for server in names(file) {
            let name = &server.value;
            if !is_label(name) || name == ALL {
                let hint = "it is a label's value: at most 63 letters, digits, `-`, `_` and `.`, and not `all`";
                return self.problem(server.referenced, format!("`{name}` cannot name a server"), hint);
            }
            if !seen.insert(name) {
                return self.problem(
                    server.referenced,
                    format!("server `{name}` is listed twice"),
                    "name each server once",
                );
            }
        }
        Ok(())
    }

    /// The tests: one for each server that a check is made of.
    fn cases(&self) -> Result<Vec<PlannedCase>, Refusal> {
        let mut known = HashSet::new();
        let mut cases = Vec::new();
        for test in &self.file.tests.value {
            let (slug, at) = (&test.slug.value, test.slug.referenced);
            if !is_name(slug) {
                let hint = "use lower-case letters, digits and hyphens";
                return self.problem(at, format!("slug `{slug}` cannot name a check"), hint);
            }
            let (kind, subject) = (test.check.kind(), test.check.about().subject);
            match (subject, test.on.is_empty()) {
                (Subject::Server, true) => {
                    let hint = "add `on:` with roles, servers or `all`";
                    return self.problem(at, format!("check `{kind}` judges a server, but no server is named"), hint);
                }
                (Subject::Whole, false) => {
                    return self.problem(
                        at,
                        format!("check `{kind}` judges the whole, not single servers"),
                        "remove `on:`",
                    );
                }
                _ => {}
            }
            let check = Arc::new(test.check.clone());
            for server in self.subjects(test)? {
                let id = CaseId { suite: self.file.suite.value.clone(), slug: slug.clone(), server };
                if !known.insert(id.clone()) {
                    let hint = "name each test once: with another slug, or on other servers";
                    return self.problem(at, format!("slug `{slug}` makes a second test {id}"), hint);
                }
                if cases.len() == MOST_TESTS {
                    return self.problem(
                        at,
                        format!("the suite makes more than {MOST_TESTS} tests"),
                        "make several of it",
                    );
                }
                cases.push(PlannedCase { id, check: Arc::clone(&check) });
            }
        }
        Ok(cases)
    }

    /// What a check is made of: the servers that `on` names by role, by name or by `all`, else the whole.
    fn subjects(&self, test: &Test) -> Result<Vec<Option<String>>, Refusal> {
        if test.on.is_empty() {
            return Ok(vec![None]);
        }
        let (file, roles) = (self.file, &self.file.servers.value);
        let mut chosen: HashSet<&str> = HashSet::new();
        for Spanned { value: word, referenced, .. } in &test.on {
            let role = roles.get(word);
            let is_meant = |server: &&Spanned<String>| match role {
                Some(its) => its.iter().any(|its| its.value == server.value),
                None => word == ALL || *word == server.value,
            };
            let meant = names(file).filter(is_meant).map(|server| chosen.insert(&server.value)).count();
            if meant == 0 && role.is_none() {
                let servers = names(file).map(|server| server.value.as_str());
                let known: Vec<&str> = roles.keys().map(String::as_str).chain(servers).chain([ALL]).collect();
                let hint = join(&suggestion(word, known.iter().copied()), &format!("known are {}", known.join(", ")));
                return self.problem(*referenced, format!("there is no role or server `{word}`"), hint);
            }
        }
        let its = names(file).filter(|server| chosen.contains(server.value.as_str()));
        Ok(its.map(|server| Some(server.value.clone())).collect())
    }
}

fn names(file: &SuiteFile) -> impl Iterator<Item = &Spanned<String>> {
    file.servers.value.values().flatten()
}

/// What the YAML reader says, with place and a suggestion.
fn syntax(origin: &str, error: &serde_saphyr::Error) -> Refusal {
    use serde_saphyr::Error::{SerdeUnknownField, SerdeUnknownVariant};
    let (what, wrong, expected, at) = match error.without_snippet() {
        SerdeUnknownField { field, expected, location } => ("key", field, expected, location),
        SerdeUnknownVariant { variant, expected, location } => ("check", variant, expected, location),
        _ => return Refusal::usage(yaml::wrong(origin, error), "docs/suites.md shows how a suite is written"),
    };
    let place = place(origin, *at);
    let mut known = expected.clone();
    known.sort_unstable();
    Refusal::usage(
        format!("{place}: unknown {what} `{wrong}`"),
        join(&suggestion(wrong, known.iter().copied()), &format!("known here: {}", known.join(", "))),
    )
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// What Kubernetes takes as a label's value; never a path.
fn is_label(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && is_end(text.chars().next())
        && is_end(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
