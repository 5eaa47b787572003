//! Reads suite files and says precisely what is wrong with a broken one.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use super::{PlannedCase, Suite, SuiteFile};
use crate::check::Subject;
use crate::error::{Refusal, suggestion};
use crate::event::CaseId;
use crate::recording::SuiteText;

/// The suites in the binary: name and text.
pub const BUILT_IN: [(&str, &str); 7] = [
    ("phase2", include_str!("../../suites/phase2.yaml")),
    ("phase3", include_str!("../../suites/phase3.yaml")),
    ("nfs", include_str!("../../suites/nfs.yaml")),
    ("data-safety", include_str!("../../suites/data-safety.yaml")),
    ("release", include_str!("../../suites/release.yaml")),
    ("smoke", include_str!("../../suites/smoke.yaml")),
    ("restarts", include_str!("../../suites/restarts.yaml")),
];

/// The word that stands for all servers.
const ALL: &str = "all";

/// The built-in suites that disturb nothing; also those that cannot be read, so that somebody says so.
pub fn undisturbing() -> Vec<String> {
    let disturbs = |name| load(name).is_ok_and(|suite| suite.cases.iter().any(|case| case.check.disturbs()));
    BUILT_IN.iter().filter(|(name, _)| !disturbs(name)).map(|(name, _)| (*name).to_owned()).collect()
}

/// Reads a built-in suite by its name, or a YAML file by its path.
pub fn load(name: &str) -> Result<Suite, Refusal> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return parse(&format!("suites/{name}.yaml"), text);
    }
    let path = Path::new(name);
    if path.extension().is_none() && !path.exists() {
        let known = BUILT_IN.map(|(known, _)| known);
        return Err(Refusal::usage(
            format!("there is no suite `{name}`"),
            join(
                &suggestion(name, known),
                &format!("the built-in suites are {}; anything else is the path of a YAML file", known.join(", ")),
            ),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Refusal::usage(
            format!("cannot read the suite file {name}: {error}"),
            "give the path of a YAML file that exists",
        )
    })?;
    parse(name, &text)
}

/// What a suite file that could not be read probably calls its suite; `None` for what is no file at all.
pub fn name_of_broken(name: &str) -> Option<String> {
    let path = Path::new(name);
    path.extension()?;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let said = text.lines().find_map(|line| line.strip_prefix("suite:")).map(str::trim).filter(|said| is_name(said));
    Some(said.or(path.file_stem()?.to_str())?.to_owned())
}

/// Reads a suite from text; `origin` is its file name, for messages.
pub fn parse(origin: &str, text: &str) -> Result<Suite, Refusal> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let file: SuiteFile = serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(origin, &error))?;
    let servers: Vec<String> = file.servers.values().flatten().cloned().collect();
    if let Some((role, _)) = file.servers.iter().find(|(_, servers)| servers.is_empty()) {
        return Err(Refusal::usage(
            format!("{origin}: role `{role}` has no servers"),
            "name at least one, or remove the role",
        ));
    }
    if servers.is_empty() {
        return Err(Refusal::usage(
            format!("{origin}: the suite names no servers"),
            "list them by role under `servers:`",
        ));
    }
    if file.tests.is_empty() {
        return Err(Refusal::usage(format!("{origin}: the suite has no tests"), "list at least one under `tests:`"));
    }
    if !is_name(&file.suite) {
        return Err(Refusal::usage(
            format!("{origin}: `{}` cannot name a suite", file.suite),
            "use lower-case letters, digits and hyphens",
        ));
    }
    if let Some(twice) = first_repeated(&servers) {
        return Err(Refusal::usage(format!("{origin}: server `{twice}` is listed twice"), "name each server once"));
    }
    let mut names = HashSet::new();
    let mut cases = Vec::new();
    for test in &file.tests {
        let at = |location: Location| place(origin, location);
        let slug = test.slug.value.as_str();
        if !is_name(slug) {
            return Err(Refusal::usage(
                format!("{}: slug `{slug}` cannot name a check", at(test.slug.referenced)),
                "use lower-case letters, digits and hyphens",
            ));
        }
        let problem = match (test.check.subject(), test.on.is_empty()) {
            (Subject::Server, true) => {
                Some(("judges a server, but no server is named", "add `on:` with roles, servers or `all`"))
            }
            (Subject::Whole, false) => Some(("judges the whole, not single servers", "remove `on:`")),
            _ => None,
        };
        if let Some((problem, hint)) = problem {
            return Err(Refusal::usage(
                format!("{}: check `{}` {problem}", at(test.slug.referenced), test.check.kind()),
                hint,
            ));
        }
        let check = Arc::new(test.check.clone());
        let case = |server| PlannedCase {
            id: CaseId { suite: file.suite.clone(), slug: slug.to_owned(), server },
            check: Arc::clone(&check),
        };
        let chosen: HashSet<&str> = resolve(origin, &file, &test.on)?;
        let its =
            servers.iter().filter(|server| chosen.contains(server.as_str())).map(|server| case(Some(server.clone())));
        for case in its.chain(test.on.is_empty().then(|| case(None))) {
            if !names.insert(case.id.clone()) {
                return Err(Refusal::usage(
                    format!("{}: slug `{slug}` makes a second test {}", at(test.slug.referenced), case.id),
                    "name each test once: with another slug, or on other servers",
                ));
            }
            cases.push(case);
        }
    }
    let text = SuiteText { origin: origin.to_owned(), text: text.to_owned() };
    Ok(Suite { name: file.suite, pods: file.pods, servers, text, cases })
}

/// The servers that `on` names by role, by name or by `all`.
fn resolve<'a>(origin: &str, file: &'a SuiteFile, on: &[Spanned<String>]) -> Result<HashSet<&'a str>, Refusal> {
    let mut named = HashSet::new();
    for word in on {
        let known = || file.servers.keys().chain(file.servers.values().flatten()).map(String::as_str).chain([ALL]);
        if word.value == ALL {
            named.extend(file.servers.values().flatten().map(String::as_str));
        } else if let Some(servers) = file.servers.get(&word.value) {
            named.extend(servers.iter().map(String::as_str));
        } else if let Some(server) = file.servers.values().flatten().find(|server| **server == word.value) {
            named.insert(server.as_str());
        } else {
            return Err(Refusal::usage(
                format!("{}: there is no role or server `{}`", place(origin, word.referenced), word.value),
                join(
                    &suggestion(&word.value, known()),
                    &format!("known are {}", known().collect::<Vec<_>>().join(", ")),
                ),
            ));
        }
    }
    Ok(named)
}

/// What the YAML reader says, with place and a suggestion.
fn syntax(origin: &str, error: &serde_saphyr::Error) -> Refusal {
    use serde_saphyr::Error::{SerdeUnknownField, SerdeUnknownVariant};
    let plain = error.without_snippet();
    let place = plain.location().map_or_else(|| origin.to_owned(), |location| place(origin, location));
    let (what, wrong, expected) = match plain {
        SerdeUnknownField { field, expected, .. } => ("key", field, expected),
        SerdeUnknownVariant { variant, expected, .. } => ("check", variant, expected),
        other => {
            let text = other.to_string();
            // The place stands in front already.
            let text = text.lines().next().unwrap_or_default().split(" at line ").next().unwrap_or_default();
            return Refusal::usage(format!("{place}: {text}"), "docs/suites.md shows how a suite is written");
        }
    };
    let mut known = expected.clone();
    known.sort_unstable();
    Refusal::usage(
        format!("{place}: unknown {what} `{wrong}`"),
        join(&suggestion(wrong, known.iter().copied()), &format!("known here: {}", known.join(", "))),
    )
}

fn place(origin: &str, location: Location) -> String {
    format!("{origin}:{}:{}", location.line(), location.column())
}

fn join(first: &str, second: &str) -> String {
    if first.is_empty() { second.to_owned() } else { format!("{first} {second}") }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn first_repeated(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_is_run_only_when_it_is_asked_for() {
        let chosen = undisturbing();
        assert!(chosen.contains(&"phase2".to_owned()) && !chosen.contains(&"restarts".to_owned()), "{chosen:?}");
        let restarts = load("restarts").unwrap();
        assert_eq!(restarts.cases.len(), 7);
        assert!(restarts.cases.iter().all(|case| case.check.disturbs()));
    }
}
