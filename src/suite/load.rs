//! Finds suites: the built-in ones by name, and YAML files by path. [`read`](super::read) parses them.

use std::path::Path;

pub use super::read::parse;
use super::{Suite, join};
use crate::error::{Refusal, suggestion};
use crate::input;
use crate::recording::{SuiteText, Text};

pub const BUILT_IN: [(&str, &str); 7] = [
    ("phase2", include_str!("../../suites/phase2.yaml")),
    ("phase3", include_str!("../../suites/phase3.yaml")),
    ("nfs", include_str!("../../suites/nfs.yaml")),
    ("data-safety", include_str!("../../suites/data-safety.yaml")),
    ("release", include_str!("../../suites/release.yaml")),
    ("smoke", include_str!("../../suites/smoke.yaml")),
    ("restarts", include_str!("../../suites/restarts.yaml")),
];

pub const SYSTEMS: [(&str, &str); 1] = [("file-simulator", include_str!("../../suites/systems/file-simulator.yaml"))];

/// The size limit of suite files: a hundred times the largest built-in one.
const MAX_KIB: u64 = 1024;

/// The non-disruptive built-in suites; includes invalid ones, so that loading them reports the error.
pub fn non_disruptive() -> Vec<String> {
    let disrupts = |name| load(name).is_ok_and(|suite| suite.tests.iter().any(|test| test.check.info().disrupts));
    BUILT_IN.iter().filter(|(name, _)| !disrupts(name)).map(|(name, _)| (*name).to_owned()).collect()
}

/// Reads a built-in suite by name, or a suite file by path.
/// Errors: the first error in it.
pub fn load(name: &str) -> Result<Suite, Refusal> {
    let found = find("suite", &BUILT_IN, "suites", name, Path::new(name));
    let Text { origin, text } = found.map_err(|(what, hint)| Refusal::usage(what, hint))?;
    parse(&origin, &text, |system| self::system(&origin, system))
}

/// Parses a recorded suite, with the system that was recorded.
/// Errors: the first error in it.
pub fn recorded(suite: &SuiteText) -> Result<Suite, Refusal> {
    let missing = || ("the recording lacks this system".to_owned(), "record the run again".to_owned());
    parse(&suite.origin, &suite.text, |_| suite.system.clone().ok_or_else(missing))
}

/// The text of a built-in system by name, or of a system file by its path, relative to the suite file.
/// Errors: the error and a hint.
pub fn system(suite: &str, name: &str) -> Result<Text, (String, String)> {
    find("system", &SYSTEMS, "suites/systems", name, &Path::new(suite).with_file_name(name))
}

/// The text of a built-in suite or system, else of the file.
fn find(
    what: &str,
    built_in: &[(&str, &str)],
    folder: &str,
    name: &str,
    path: &Path,
) -> Result<Text, (String, String)> {
    if let Some((_, text)) = built_in.iter().find(|(known, _)| *known == name) {
        return Ok(Text { origin: format!("{folder}/{name}.yaml"), text: (*text).to_owned() });
    }
    if Path::new(name).extension().is_none() && !path.exists() {
        let known: Vec<&str> = built_in.iter().map(|(known, _)| *known).collect();
        let hint = format!("use a built-in {what} ({}) or the path of a YAML file", known.join(", "));
        return Err((format!("unknown {what} `{name}`"), join(&suggestion(name, known), &hint)));
    }
    let origin = path.display().to_string();
    match input::text(path, MAX_KIB) {
        Ok(text) => Ok(Text { origin, text }),
        Err(error) => Err((
            format!("cannot read the {what} file {origin}: {error}"),
            format!("give the path of a {what}'s YAML file"),
        )),
    }
}

/// The probable name of the suite in an invalid file; `None` if `name` is not a path.
pub fn name_of_broken(name: &str) -> Option<String> {
    let path = Path::new(name);
    path.extension()?;
    // A FIFO cannot be read a second time.
    let text = if path.is_file() { input::text(path, MAX_KIB).unwrap_or_default() } else { String::new() };
    let written = text.lines().find_map(|line| line.strip_prefix("suite:")).map(str::trim);
    Some(written.filter(|name| super::read::is_name(name)).or(path.file_stem()?.to_str())?.to_owned())
}
