//! Reads a suite's text, makes its tests, and says everything that is wrong with it, with places and suggestions.

use std::collections::HashSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};

use super::{Described, PlannedTest, Suite, SuiteFile, Test, join};
use crate::check::{Subject, System};
use crate::error::{Refusal, suggestion};
use crate::event::TestId;
use crate::recording::{SuiteText, Text};
use crate::yaml::{self, place};

const ALL: &str = "all";
const NAME: &str = "use lower-case letters, digits and hyphens";
/// Keys that suites and checks had before systems were described.
const MOVED: [&str; 31] = [
    "access",
    "after",
    "container",
    "containers",
    "cycle-begin",
    "direction",
    "error",
    "excuse",
    "export",
    "export-volume",
    "file",
    "folder-volume",
    "head",
    "id",
    "init-container",
    "interval",
    "node-port",
    "note-in",
    "options",
    "pattern",
    "pods",
    "port",
    "resources",
    "restart-window",
    "server",
    "servers",
    "sidecar",
    "target-port",
    "type",
    "variable",
    "volume",
];
/// Keys by one of which it shows that what has an unknown one is a system, or a part of it.
const SYSTEM: [&str; 5] = ["server-label", "folder-volume", "fsid-variable", "cycle-end", "sync-interval"];
/// The most tests that a suite makes: every test that runs costs the cluster requests.
const MOST_TESTS: usize = 10_000;

/// Reads a suite's text; `origin` is its file name, for messages, and `find` finds the text of a system that it names.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(
    origin: &str,
    text: &str,
    find: impl Fn(&str) -> Result<Text, (String, String)>,
) -> Result<Suite, Refusal> {
    let file: SuiteFile = yaml(origin, text)?;
    let written = |text: &Text| yaml(&text.origin, &text.text).map(Arc::new);
    let (system, elsewhere) = match &file.system.value {
        Described::Here(system) => (Arc::clone(system), None),
        Described::Elsewhere(name) => {
            let at = file.system.referenced;
            let text = find(name).map_err(|(what, hint)| Wrong { at, what, hint }.of(origin))?;
            (written(&text)?, Some(text))
        }
    };
    names(&system).map_err(|wrong| wrong.of(elsewhere.as_ref().map_or(origin, |text| &text.origin)))?;
    let tests = tests(&file, &system).map_err(|wrong| wrong.of(origin))?;
    let text = SuiteText { origin: origin.to_owned(), text: text.to_owned(), system: elsewhere };
    Ok(Suite { name: file.suite.value, system, text, tests })
}

/// Reads YAML, bounded.
fn yaml<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T, Refusal> {
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
    serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(origin, &error))
}

/// What is wrong in a file, and where.
struct Wrong {
    at: Location,
    what: String,
    hint: String,
}

fn wrong<T>(at: Location, what: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { at, what: what.into(), hint: hint.into() })
}

impl Wrong {
    fn of(self, origin: &str) -> Refusal {
        Refusal::usage(format!("{}: {}", place(origin, self.at), self.what), self.hint)
    }
}

/// The tests: one for each server that a check is made of.
fn tests(file: &SuiteFile, system: &System) -> Result<Vec<PlannedTest>, Wrong> {
    let suite = &file.suite;
    if !is_name(&suite.value) {
        return wrong(suite.referenced, format!("`{}` cannot name a suite", suite.value), NAME);
    }
    if file.tests.value.is_empty() {
        return wrong(file.tests.referenced, "the suite has no tests", "list at least one under `tests:`");
    }
    let mut known = HashSet::new();
    let mut tests = Vec::new();
    for test in &file.tests.value {
        let (slug, at) = (&test.slug.value, test.slug.referenced);
        if !is_name(slug) {
            return wrong(at, format!("slug `{slug}` cannot name a check"), NAME);
        }
        let (kind, subject) = (test.check.kind(), test.check.about().subject);
        match (subject, test.on.is_empty()) {
            (Subject::Server, true) => {
                let hint = "add `on:` with roles, servers or `all`";
                return wrong(at, format!("check `{kind}` judges a server, but no server is named"), hint);
            }
            (Subject::Whole, false) => {
                return wrong(at, format!("check `{kind}` judges the whole, not single servers"), "remove `on:`");
            }
            _ => {}
        }
        if let Some(part) = test.check.about().parts.iter().find(|part| !system.has(**part)) {
            let key = part.key();
            let hint = format!("describe the system's `{key}`, or leave this check out");
            return wrong(at, format!("check `{kind}` needs a system with a `{key}`"), hint);
        }
        let check = Arc::new(test.check.clone());
        for server in subjects(system, test)? {
            let id = TestId { suite: suite.value.clone(), slug: slug.clone(), server };
            if !known.insert(id.clone()) {
                let hint = "name each test once: with another slug, or on other servers";
                return wrong(at, format!("slug `{slug}` makes a second test {id}"), hint);
            }
            if tests.len() == MOST_TESTS {
                return wrong(at, format!("the suite makes more than {MOST_TESTS} tests"), "make several of it");
            }
            tests.push(PlannedTest { id, check: Arc::clone(&check) });
        }
    }
    Ok(tests)
}

/// What a check is made of: the servers that `on` names by role, by name or by `all`, else the whole.
fn subjects(system: &System, test: &Test) -> Result<Vec<Option<String>>, Wrong> {
    if test.on.is_empty() {
        return Ok(vec![None]);
    }
    let roles = &system.servers.value;
    let mut chosen: HashSet<&str> = HashSet::new();
    for Spanned { value: word, referenced, .. } in &test.on {
        let role = roles.get(word);
        let is_meant = |server: &&String| match role {
            Some(its) => its.iter().any(|its| its.value == **server),
            None => word == ALL || word == *server,
        };
        let meant = system.names().filter(is_meant).map(|server| chosen.insert(server)).count();
        if meant == 0 && role.is_none() {
            let known = roles.keys().chain(system.names()).map(String::as_str);
            let known: Vec<&str> = known.chain([ALL]).collect();
            let hint = join(&suggestion(word, known.iter().copied()), &format!("known are {}", known.join(", ")));
            return wrong(*referenced, format!("there is no role or server `{word}`"), hint);
        }
    }
    let its = system.names().filter(|server| chosen.contains(server.as_str()));
    Ok(its.cloned().map(Some).collect())
}

/// Whether the servers of a system can be told apart, and their roles from them.
fn names(system: &System) -> Result<(), Wrong> {
    let roles = &system.servers;
    if system.names().next().is_none() {
        return wrong(roles.referenced, "the system has no servers", "list them by role under `servers:`");
    }
    for (role, its) in &roles.value {
        if its.is_empty() {
            return wrong(roles.referenced, format!("role `{role}` has no servers"), "name one, or remove the role");
        }
        // The same word for the same servers is no matter.
        let is_ambiguous = role == ALL
            || system.names().any(|server| server == role) && its.iter().any(|server| server.value != *role);
        if is_ambiguous {
            let what = format!("role `{role}` is called like a server, or like all of them");
            return wrong(roles.referenced, what, "call it otherwise");
        }
    }
    let mut seen = HashSet::new();
    for server in roles.value.values().flatten() {
        let name = &server.value;
        if !is_label(name) || name == ALL {
            let hint = "it is a label's value: at most 63 letters, digits, `-`, `_` and `.`, and not `all`";
            return wrong(server.referenced, format!("`{name}` cannot name a server"), hint);
        }
        if !seen.insert(name) {
            return wrong(server.referenced, format!("server `{name}` is listed twice"), "name each server once");
        }
    }
    Ok(())
}

/// What the YAML reader says, with place and a suggestion.
fn syntax(origin: &str, error: &serde_saphyr::Error) -> Refusal {
    use serde_saphyr::Error::{SerdeUnknownField, SerdeUnknownVariant};
    let (what, key, expected, at) = match error.without_snippet() {
        SerdeUnknownField { field, expected, location } => ("key", field, expected, location),
        SerdeUnknownVariant { variant, expected, location } => ("check", variant, expected, location),
        _ => return Refusal::usage(yaml::wrong(origin, error), "docs/suites.md shows how a suite is written"),
    };
    let is_system = expected.iter().any(|key| SYSTEM.contains(&&**key));
    let hint = if MOVED.contains(&key.as_str()) && !is_system {
        "the suite's `system` describes it now, once for all checks: see docs/suites.md".to_owned()
    } else if expected.is_empty() {
        "it takes no keys: write {}".to_owned()
    } else {
        let mut known = expected.clone();
        known.sort_unstable();
        join(&suggestion(key, known.iter().copied()), &format!("known here: {}", known.join(", ")))
    };
    Wrong { at: *at, what: format!("unknown {what} `{key}`"), hint }.of(origin)
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
