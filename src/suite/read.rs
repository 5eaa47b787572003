//! Parses a suite and plans its tests. Errors have a place and a hint.

use std::collections::HashSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};

use super::{PlannedTest, Suite, SuiteFile, SystemSource, Test, join};
use crate::check::{Subject, System};
use crate::error::{Refusal, suggestion};
use crate::event::TestId;
use crate::recording::{SuiteText, Text};
use crate::yaml::{self, place};

const ALL: &str = "all";
const NAME: &str = "use lower-case letters, digits and hyphens";
/// Keys of suites and checks that are keys of `system` now.
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
/// If one of these is expected, the unknown key is in a system.
const SYSTEM: [&str; 5] = ["server-label", "folder-volume", "fsid-variable", "cycle-end", "sync-interval"];
/// The most tests of a suite: every test sends requests to the cluster.
const MAX_TESTS: usize = 10_000;

/// Parses a suite. `origin` is its file name for messages; `find` returns the text of a named system.
/// Errors: the first error in it.
pub fn parse(
    origin: &str,
    text: &str,
    find: impl Fn(&str) -> Result<Text, (String, String)>,
) -> Result<Suite, Refusal> {
    let file: SuiteFile = yaml(origin, text)?;
    let (system, system_text) = match &file.system.value {
        SystemSource::Inline(system) => (Arc::clone(system), None),
        SystemSource::Named(name) => {
            let at = file.system.referenced;
            let text = find(name).map_err(|(what, hint)| Invalid { at, what, hint }.in_file(origin))?;
            (Arc::new(yaml(&text.origin, &text.text)?), Some(text))
        }
    };
    let origin_of_system = system_text.as_ref().map_or(origin, |text| &text.origin);
    validate(&system).map_err(|invalid| invalid.in_file(origin_of_system))?;
    let tests = tests(&file, &system).map_err(|invalid| invalid.in_file(origin))?;
    let text = SuiteText { origin: origin.to_owned(), text: text.to_owned(), system: system_text };
    Ok(Suite { name: file.suite.value, system, text, tests })
}

fn yaml<T: DeserializeOwned>(origin: &str, text: &str) -> Result<T, Refusal> {
    // About a hundred times what the built-in suites need, and less than an alias bomb.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 50_000,
            max_events: 200_000,
            // One anchor may be used in every test; aliases are limited below.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000, max_replay_stack_depth: 8 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(origin, &error))
}

struct Invalid {
    at: Location,
    what: String,
    hint: String,
}

fn invalid<T>(at: Location, what: impl Into<String>, hint: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { at, what: what.into(), hint: hint.into() })
}

impl Invalid {
    fn in_file(self, origin: &str) -> Refusal {
        Refusal::usage(format!("{}: {}", place(origin, self.at), self.what), self.hint)
    }
}

/// The tests: one for each server of a check.
fn tests(file: &SuiteFile, system: &System) -> Result<Vec<PlannedTest>, Invalid> {
    let suite = &file.suite;
    if !is_name(&suite.value) {
        return invalid(suite.referenced, format!("invalid suite name `{}`", suite.value), NAME);
    }
    if file.tests.value.is_empty() {
        return invalid(file.tests.referenced, "the suite has no tests", "add at least one under `tests:`");
    }
    let mut known = HashSet::new();
    let mut tests = Vec::new();
    for test in &file.tests.value {
        let (slug, at) = (&test.slug.value, test.slug.referenced);
        if !is_name(slug) {
            return invalid(at, format!("invalid slug `{slug}`"), NAME);
        }
        let (kind, subject) = (test.check.kind(), test.check.info().subject);
        match (subject, test.on.is_empty()) {
            (Subject::Server, true) => {
                let hint = "add `on:` with roles, servers or `all`";
                return invalid(at, format!("check `{kind}` needs servers"), hint);
            }
            (Subject::System, false) => {
                let what = format!("check `{kind}` judges the system as a whole, not single servers");
                return invalid(at, what, "remove `on:`");
            }
            _ => {}
        }
        if let Some(part) = test.check.info().parts.iter().find(|part| !system.has(**part)) {
            let key = part.key();
            let hint = format!("add `{key}` to the system, or remove this check");
            return invalid(at, format!("check `{kind}` needs a system with `{key}`"), hint);
        }
        let check = Arc::new(test.check.clone());
        for server in subjects(system, test)? {
            let id = TestId { suite: suite.value.clone(), slug: slug.clone(), server };
            if !known.insert(id.clone()) {
                return invalid(at, format!("duplicate test {id}"), "use another slug, or other servers");
            }
            if tests.len() == MAX_TESTS {
                let what = format!("the suite has more than {MAX_TESTS} tests");
                return invalid(at, what, "split it into several suites");
            }
            tests.push(PlannedTest { id, check: Arc::clone(&check) });
        }
    }
    Ok(tests)
}

/// The servers that `on` selects by role, by name or with `all`; `None` for the system as a whole.
fn subjects(system: &System, test: &Test) -> Result<Vec<Option<String>>, Invalid> {
    if test.on.is_empty() {
        return Ok(vec![None]);
    }
    let roles = &system.servers.value;
    let mut chosen: HashSet<&str> = HashSet::new();
    for Spanned { value: word, referenced, .. } in &test.on {
        let role = roles.get(word);
        let matches = |server: &&String| match role {
            Some(its) => its.iter().any(|its| its.value == **server),
            None => word == ALL || word == *server,
        };
        let found = system.names().filter(matches).map(|server| chosen.insert(server)).count();
        if found == 0 && role.is_none() {
            let known = roles.keys().chain(system.names()).map(String::as_str);
            let known: Vec<&str> = known.chain([ALL]).collect();
            let hint = join(&suggestion(word, known.iter().copied()), &format!("use one of {}", known.join(", ")));
            return invalid(*referenced, format!("unknown role or server `{word}`"), hint);
        }
    }
    let its = system.names().filter(|server| chosen.contains(server.as_str()));
    Ok(its.cloned().map(Some).collect())
}

fn validate(system: &System) -> Result<(), Invalid> {
    let roles = &system.servers;
    if system.names().next().is_none() {
        return invalid(roles.referenced, "the system has no servers", "add them by role under `servers:`");
    }
    for (role, its) in &roles.value {
        if its.is_empty() {
            return invalid(roles.referenced, format!("role `{role}` has no servers"), "add one, or remove the role");
        }
        // A role may have the name of its only server.
        let is_ambiguous = role == ALL
            || system.names().any(|server| server == role) && its.iter().any(|server| server.value != *role);
        if is_ambiguous {
            let what = format!("ambiguous role `{role}`: a server has this name, or it is the reserved `{ALL}`");
            return invalid(roles.referenced, what, "rename the role");
        }
    }
    let mut seen = HashSet::new();
    for server in roles.value.values().flatten() {
        let name = &server.value;
        if !is_label(name) || name == ALL {
            let hint = "use a valid label value: at most 63 letters, digits, `-`, `_` and `.`, and not `all`";
            return invalid(server.referenced, format!("invalid server name `{name}`"), hint);
        }
        if !seen.insert(name) {
            return invalid(server.referenced, format!("duplicate server `{name}`"), "list each server once");
        }
    }
    Ok(())
}

fn syntax(origin: &str, error: &serde_saphyr::Error) -> Refusal {
    use serde_saphyr::Error::{SerdeUnknownField, SerdeUnknownVariant};
    let (what, key, expected, at) = match error.without_snippet() {
        SerdeUnknownField { field, expected, location } => ("key", field, expected, location),
        SerdeUnknownVariant { variant, expected, location } => ("check", variant, expected, location),
        _ => return Refusal::usage(yaml::describe(origin, error), "see docs/suites.md for the format of suites"),
    };
    let is_system = expected.iter().any(|key| SYSTEM.contains(&&**key));
    let hint = if MOVED.contains(&key.as_str()) && !is_system {
        "it has moved to the suite's `system`; see docs/suites.md".to_owned()
    } else if expected.is_empty() {
        "no keys are allowed here: write {}".to_owned()
    } else {
        let mut known = expected.clone();
        known.sort_unstable();
        join(&suggestion(key, known.iter().copied()), &format!("use one of {}", known.join(", ")))
    };
    Invalid { at: *at, what: format!("unknown {what} `{key}`"), hint }.in_file(origin)
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether Kubernetes accepts the text as a label value; a path never is.
fn is_label(text: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && is_end(text.chars().next())
        && is_end(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}
