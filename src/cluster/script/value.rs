//! The possible values of a script's variables. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::EnvVar;

use super::split::{DOLLAR, UNKNOWN, is_of_name, piece};

/// A text with more or longer possible values counts as unknown.
const MAX_VALUES: usize = 50;
const MAX_LENGTH: usize = 1 << 16;

/// A text that takes more steps to expand counts as unknown.
const MAX_STEPS: usize = 5_000;

#[derive(Default)]
pub(super) struct Variables {
    /// All values that a variable is assigned anywhere, by name; `None`: an unknown value.
    values: BTreeMap<String, BTreeSet<Option<String>>>,
    /// The names in the container's environment.
    pub(super) given: BTreeSet<String>,
    /// Whether the environment has further, unknown variables.
    pub(super) has_others: bool,
}

/// The state of an expansion: the variables being expanded, and the number of steps.
#[derive(Default)]
struct Expansion<'a> {
    within: Vec<&'a str>,
    steps: usize,
}

impl Variables {
    pub(super) fn assign(&mut self, name: &str, value: Option<String>) {
        self.values.entry(name.to_owned()).or_default().insert(value);
    }

    /// The possible values of a text with variables; `None`: any.
    pub(super) fn expand(&self, text: &str) -> Option<Vec<String>> {
        let values = self.expanded(text, &mut Expansion::default())?;
        Some(values.into_iter().collect())
    }

    fn expanded<'a>(&'a self, text: &'a str, expansion: &mut Expansion<'a>) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::from([String::new()]);
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece(rest, true));
            rest = after;
            let values = match piece.strip_prefix('$').filter(|name| !name.is_empty()) {
                Some(name) => self.variable(name.trim_matches(['{', '}']), expansion)?,
                None if piece.contains(UNKNOWN) => return None,
                None => BTreeSet::from([piece.replace('\u{a0}', " ")]),
            };
            all = all.iter().flat_map(|head| values.iter().map(move |value| format!("{head}{value}"))).collect();
            if all.len() > MAX_VALUES || all.iter().any(|text| text.len() > MAX_LENGTH) {
                return None;
            }
        }
        Some(all)
    }

    /// The possible values of `$NAME`, or of `${NAME}` with an operator after the name.
    fn variable<'a>(&'a self, text: &'a str, expansion: &mut Expansion<'a>) -> Option<BTreeSet<String>> {
        expansion.steps += 1;
        let (name, operator) = text.split_at(text.find(|letter| !is_of_name(letter)).unwrap_or(text.len()));
        if expansion.steps > MAX_STEPS {
            return None;
        }
        if name.is_empty() && ["#", "?", "$", "!"].contains(&operator) {
            return Some(BTreeSet::from(["0".to_owned()]));
        }
        let default = operator.trim_start_matches(':').strip_prefix(['-', '=']);
        // An assignment that uses the variable itself, such as `NAME="$NAME more"` or `NAME=${NAME:-default}`.
        if expansion.within.contains(&name) {
            return self.expanded(default.unwrap_or_default(), expansion);
        }
        expansion.within.push(name);
        let mut values = BTreeSet::new();
        for value in self.assigned(name)? {
            values.extend(self.expanded(value, expansion)?);
        }
        expansion.within.pop();
        if let Some(default) = default {
            if values.remove("") {
                values.extend(self.expanded(default, expansion)?);
            }
            return Some(values);
        }
        // Cutting or replacing a part may add or remove a delete flag.
        let is_flag = |text: &str| text.contains("--del");
        let is_unknown = !operator.is_empty() && (is_flag(operator) || values.iter().any(|value| is_flag(value)));
        (!is_unknown).then_some(values)
    }

    /// The assigned values of a variable, without `NAME=${NAME:-default}` if it has others; `None` if any is unknown.
    fn assigned(&self, name: &str) -> Option<Vec<&str>> {
        let all: Option<Vec<&str>> = self.values.get(name)?.iter().map(Option::as_deref).collect();
        let is_default = |value: &&str| {
            let rest = value.strip_prefix("${").and_then(|value| value.strip_prefix(name));
            rest.is_some_and(|rest| rest.trim_start_matches(':').starts_with(['-', '=']))
        };
        let (defaults, others): (Vec<_>, Vec<_>) = all?.into_iter().partition(is_default);
        let may_be_given = !defaults.is_empty() || others.contains(&"");
        if self.has_others && may_be_given && !self.given.contains(name) {
            return None;
        }
        let is_set = others.iter().any(|value| !value.is_empty());
        Some(if is_set { others } else { others.into_iter().chain(defaults).collect() })
    }
}

/// Converts Kubernetes' variables, `$(NAME)`, to a shell's, `${NAME}`; escapes all other dollars.
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
