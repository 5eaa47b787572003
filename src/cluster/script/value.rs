//! What variables of a script may be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::EnvVar;

use super::split::{DOLLAR, UNKNOWN, is_of_name, piece};

/// Of a text that may be more things, or longer ones, it is not known what it is.
const MOST: usize = 50;
const LONGEST: usize = 1 << 16;

/// Nor what takes more steps.
const STEPS: usize = 5_000;

/// What is known of the variables of a container.
#[derive(Default)]
pub(super) struct Variables {
    /// By name, all values that one gets anywhere; `None`: one that is not known.
    values: BTreeMap<String, BTreeSet<Option<String>>>,
    /// Names in the container's environment, and whether it has others, of which nothing is known.
    pub(super) given: BTreeSet<String>,
    pub(super) has_others: bool,
}

/// How a text is filled: the variables that it is within, and how many steps were made.
#[derive(Default)]
struct Filling<'a> {
    within: Vec<&'a str>,
    steps: usize,
}

impl Variables {
    pub(super) fn assign(&mut self, name: &str, value: Option<String>) {
        self.values.entry(name.to_owned()).or_default().insert(value);
    }

    /// What a text may be once its variables are put in; `None`: anything.
    pub(super) fn fill(&self, text: &str) -> Option<Vec<String>> {
        let values = self.filled(text, &mut Filling::default())?;
        Some(values.into_iter().collect())
    }

    fn filled<'a>(&'a self, text: &'a str, filling: &mut Filling<'a>) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::from([String::new()]);
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece(rest, true));
            rest = after;
            let values = match piece.strip_prefix('$').filter(|name| !name.is_empty()) {
                Some(name) => self.variable(name.trim_matches(['{', '}']), filling)?,
                None if piece.contains(UNKNOWN) => return None,
                None => BTreeSet::from([piece.replace('\u{a0}', " ")]),
            };
            all = all.iter().flat_map(|head| values.iter().map(move |value| format!("{head}{value}"))).collect();
            if all.len() > MOST || all.iter().any(|text| text.len() > LONGEST) {
                return None;
            }
        }
        Some(all)
    }

    /// What stands for `$NAME`, or for `${NAME}` with what follows the name there.
    fn variable<'a>(&'a self, text: &'a str, filling: &mut Filling<'a>) -> Option<BTreeSet<String>> {
        filling.steps += 1;
        let (name, how) = text.split_at(text.find(|letter| !is_of_name(letter)).unwrap_or(text.len()));
        if filling.steps > STEPS {
            return None;
        }
        if name.is_empty() && ["#", "?", "$", "!"].contains(&how) {
            return Some(BTreeSet::from(["0".to_owned()]));
        }
        let default = how.trim_start_matches(':').strip_prefix(['-', '=']);
        // One that gets more of itself, or keeps what it is.
        if filling.within.contains(&name) {
            return self.filled(default.unwrap_or_default(), filling);
        }
        filling.within.push(name);
        let mut values = BTreeSet::new();
        for value in self.worth(name)? {
            values.extend(self.filled(value, filling)?);
        }
        filling.within.pop();
        if let Some(default) = default {
            if values.remove("") {
                values.extend(self.filled(default, filling)?);
            }
            return Some(values);
        }
        // What is cut off or replaced could be what makes a flag of it, or no flag.
        let is_flag = |text: &str| text.contains("--del");
        let is_open = !how.is_empty() && (is_flag(how) || values.iter().any(|value| is_flag(value)));
        (!is_open).then_some(values)
    }

    /// The values of a variable; without `NAME=${NAME:-default}` where it has another one.
    fn worth(&self, name: &str) -> Option<Vec<&str>> {
        let all: Option<Vec<&str>> = self.values.get(name)?.iter().map(Option::as_deref).collect();
        let is_default = |value: &&str| {
            let rest = value.strip_prefix("${").and_then(|value| value.strip_prefix(name));
            rest.is_some_and(|rest| rest.trim_start_matches(':').starts_with(['-', '=']))
        };
        let (defaults, others): (Vec<_>, Vec<_>) = all?.into_iter().partition(is_default);
        let is_open = !defaults.is_empty() || others.contains(&"");
        if self.has_others && is_open && !self.given.contains(name) {
            return None;
        }
        let is_set = others.iter().any(|value| !value.is_empty());
        Some(if is_set { others } else { others.into_iter().chain(defaults).collect() })
    }
}

/// A text in which Kubernetes puts in variables, as in `$(NAME)`, as a shell has it: `${NAME}`. No other dollar of it is one.
pub(super) fn shell_like(text: &str, env: &[EnvVar]) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let named = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        rest = if let Some((name, after)) = named.filter(|(name, _)| env.iter().any(|variable| variable.name == *name))
        {
            out.extend(["${", name, "}"]);
            after
        } else {
            out.push(DOLLAR);
            after.strip_prefix('$').unwrap_or(after)
        };
    }
    out + rest
}
