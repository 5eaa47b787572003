//! What variables of a script may be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::EnvVar;

use super::read::{Piece, Word};

/// Of a word that may be more things, or longer ones, or that takes more steps, it is not known what it is.
const MOST: usize = 50;
const LONGEST: usize = 1 << 16;
const STEPS: usize = 5_000;

/// What is known of a container's variables.
#[derive(Default)]
pub(super) struct Variables {
    /// By name, all values that one gets anywhere.
    values: BTreeMap<String, Vec<Vec<Piece>>>,
    /// Names in the container's environment, and whether it has others, of which nothing is known.
    given: BTreeSet<String>,
    has_others: bool,
}

impl Variables {
    pub(super) fn of(env: &[EnvVar], has_others: bool) -> Self {
        let mut variables = Self { has_others, ..Self::default() };
        for variable in env {
            let value = match (&variable.value, &variable.value_from) {
                (Some(value), _) => Word::of_spec(value, env).pieces,
                (None, Some(_)) => vec![Piece::Unknown],
                (None, None) => Vec::new(),
            };
            variables.assign(&variable.name, value);
            variables.given.insert(variable.name.clone());
        }
        variables
    }

    pub(super) fn assign(&mut self, name: &str, value: Vec<Piece>) {
        self.values.entry(name.to_owned()).or_default().push(value);
    }

    /// What a word may be once its variables are put in; `None`: anything.
    pub(super) fn fill(&self, word: &Word) -> Option<Vec<String>> {
        let mut steps = STEPS;
        let values = self.filled(&word.pieces, &mut Vec::new(), &mut steps)?;
        Some(values.into_iter().collect())
    }

    /// The same within the use of some variables.
    fn filled<'a>(
        &'a self,
        pieces: &'a [Piece],
        within: &mut Vec<&'a str>,
        steps: &mut usize,
    ) -> Option<BTreeSet<String>> {
        let mut all = BTreeSet::from([String::new()]);
        for piece in pieces {
            *steps = steps.checked_sub(1)?;
            let mut values = BTreeSet::new();
            match piece {
                Piece::Unknown => return None,
                Piece::Text(text) => drop(values.insert(text.clone())),
                // One that gets more of itself.
                Piece::Variable(name, default) if within.contains(&&**name) => drop(values.insert(default.clone())),
                Piece::Variable(name, default) => {
                    within.push(name);
                    for value in self.values.get(name)? {
                        values.extend(self.filled(value, within, steps)?);
                    }
                    within.pop();
                    if values.remove("") {
                        if self.has_others && !self.given.contains(name) {
                            return None;
                        }
                        values.insert(default.clone());
                    }
                }
            }
            all = all.iter().flat_map(|head| values.iter().map(move |value| format!("{head}{value}"))).collect();
            if all.len() > MOST || all.iter().any(|text| text.len() > LONGEST) {
                return None;
            }
        }
        Some(all)
    }
}
