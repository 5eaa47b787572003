//! What is wrong with a suite file, all at once and without a cluster; a run reads it with the same code.

use super::Suite;
use super::load::find;
use super::read::{Examined, examine};
use crate::error::Refusal;

/// What is to be said of a file.
#[derive(Debug, Default)]
pub struct Linted {
    /// What is wrong with it.
    pub problems: Vec<Refusal>,
    /// What is not wrong, and does nothing; if nothing is wrong.
    pub warnings: Vec<String>,
    /// What it makes, if nothing is wrong.
    pub good: Option<String>,
}

/// Reads a suite file, or a built-in suite.
pub fn lint(name: &str) -> Linted {
    match find(name).and_then(|(origin, text)| examine(&origin, &text)) {
        Ok(Examined { suite, problems, warnings }) => {
            let good = problems.is_empty().then(|| made(&suite));
            Linted { problems, warnings, good }
        }
        Err(problem) => Linted { problems: vec![problem], ..Linted::default() },
    }
}

fn made(suite: &Suite) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (tests, servers) = (count(suite.cases.len(), "test"), count(suite.servers.len(), "server"));
    format!("ok: {}, {tests} on {servers}", suite.name)
}
