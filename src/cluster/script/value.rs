//! What variables of a script may be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::EnvVar;

use super::split::{UNKNOWN, is_of_name, piece};

/// Of a text that may be more things, or longer ones, it is not known what it is.
const MOST: usize = 50;
const LONGEST: usize = 1 << 16;

/// By name, all values that a variable gets anywhere; `None`: one that is not known.
#[derive(Default)]
pub(super) struct Variables(BTreeMap<String, BTreeSet<Option<String>>>);

impl Variables {
    pub(super) fn assign(&mut self, name: &str, value: Option<String>) {
        self.0.entry(name.to_owned()).or_default().insert(value);
    }

    /// What a text may be once its variables are put in; `None`: anything.
    pub(super) fn fill(&self, text: &str) -> Option<Vec<String>> {
        let values = self.filled(text, &mut Vec::new())?;
        Some(values.into_iter().collect())
    }

    fn filled<'a>(&'a self, text: &'a str, within: &mut Vec<&'a str>) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::from([String::new()]);
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(piece(rest, true));
            rest = after;
            let values = match piece.strip_prefix('$').filter(|name| !name.is_empty()) {
                Some(name) => self.variable(name.trim_matches(['{', '}']), within)?,
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
    fn variable<'a>(&'a self, text: &'a str, within: &mut Vec<&'a str>) -> Option<BTreeSet<String>> {
        let (name, how) = text.split_at(text.find(|letter| !is_of_name(letter)).unwrap_or(text.len()));
        if name.is_empty() && ["#", "?", "$", "!"].contains(&how) {
            return Some(BTreeSet::from(["0".to_owned()]));
        }
        // One that gets more of itself.
        if within.contains(&name) {
            return Some(BTreeSet::from([String::new()]));
        }
        within.push(name);
        let mut values = BTreeSet::new();
        for value in self.0.get(name)? {
            values.extend(self.filled(value.as_deref()?, within)?);
        }
        within.pop();
        let default = how.trim_start_matches(':').strip_prefix(['-', '=']);
        if let Some(default) = default {
            if values.remove("") {
                values.extend(self.filled(default, within)?);
            }
            return Some(values);
        }
        // What is cut off or replaced could be what makes a flag of it, or no flag.
        let is_flag = |text: &str| text.contains("--del");
        let is_open = !how.is_empty() && (is_flag(how) || values.iter().any(|value| is_flag(value)));
        (!is_open).then_some(values)
    }
}

/// A text in which Kubernetes puts in variables, as in `$(NAME)`, as a shell has it: `${NAME}`.
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
            out.push('$');
            after.strip_prefix('$').unwrap_or(after)
        };
    }
    out + rest
}
