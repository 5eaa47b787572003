//! Suite files: the built-in ones, and YAML files by their path. [`read`](super::read) reads their text.

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

/// The systems that suites can name.
pub const SYSTEMS: [(&str, &str); 1] = [("file-simulator", include_str!("../../suites/systems/file-simulator.yaml"))];

/// The largest file that is read, in KiB: a hundred times the largest of ours.
const MOST_KIB: u64 = 1024;

/// The built-in suites that disrupt nothing; also those that cannot be read, so that somebody says so.
pub fn non_disruptive() -> Vec<String> {
    let disrupts = |name| load(name).is_ok_and(|suite| suite.tests.iter().any(|test| test.check.about().disrupts));
    BUILT_IN.iter().filter(|(name, _)| !disrupts(name)).map(|(name, _)| (*name).to_owned()).collect()
}

/// Reads a built-in suite by its name, or a YAML file by its path.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn load(name: &str) -> Result<Suite, Refusal> {
    let found = find("suite", &BUILT_IN, "suites", name, Path::new(name));
    let Text { origin, text } = found.map_err(|(what, hint)| Refusal::usage(what, hint))?;
    parse(&origin, &text, |system| self::system(&origin, system))
}

/// Reads a suite as it was recorded, with the system that it named then.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn recorded(suite: &SuiteText) -> Result<Suite, Refusal> {
    let missing = || ("the recording does not have this system".to_owned(), "record the run again".to_owned());
    parse(&suite.origin, &suite.text, |_| suite.system.clone().ok_or_else(missing))
}

/// The text of a system: a built-in one by its name, or a file by its path, which begins where the suite is.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn system(suite: &str, name: &str) -> Result<Text, (String, String)> {
    find("system", &SYSTEMS, "suites/systems", name, &Path::new(suite).with_file_name(name))
}

/// The text of what is known by a name, or else of the file at a path.
fn find(what: &str, known: &[(&str, &str)], folder: &str, name: &str, path: &Path) -> Result<Text, (String, String)> {
    if let Some((_, text)) = known.iter().find(|(known, _)| *known == name) {
        return Ok(Text { origin: format!("{folder}/{name}.yaml"), text: (*text).to_owned() });
    }
    if Path::new(name).extension().is_none() && !path.exists() {
        let known: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
        let hint = format!("the built-in {what}s are {}; anything else is the path of a YAML file", known.join(", "));
        return Err((format!("there is no {what} `{name}`"), join(&suggestion(name, known), &hint)));
    }
    let origin = path.display().to_string();
    match input::text(path, MOST_KIB) {
        Ok(text) => Ok(Text { origin, text }),
        Err(error) => Err((
            format!("cannot read the {what} file {origin}: {error}"),
            format!("give the path of a {what}'s YAML file"),
        )),
    }
}

/// What a suite file that could not be read probably calls its suite; `None` for what is no file at all.
pub fn name_of_broken(name: &str) -> Option<String> {
    let path = Path::new(name);
    path.extension()?;
    // What is no file, such as a FIFO, was read already and has nothing more.
    let text = if path.is_file() { input::text(path, MOST_KIB).unwrap_or_default() } else { String::new() };
    let said = text.lines().find_map(|line| line.strip_prefix("suite:")).map(str::trim);
    Some(said.filter(|said| super::read::is_name(said)).or(path.file_stem()?.to_str())?.to_owned())
}
