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

/// The built-in suites that disturb nothing; also those that cannot be read, so that somebody says so.
pub fn undisturbing() -> Vec<String> {
    let disturbs = |name| load(name).is_ok_and(|suite| suite.cases.iter().any(|case| case.check.about().disturbs));
    BUILT_IN.iter().filter(|(name, _)| !disturbs(name)).map(|(name, _)| (*name).to_owned()).collect()
}

/// Reads a built-in suite by its name, or a YAML file by its path.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn load(name: &str) -> Result<Suite, Refusal> {
    let (origin, text) = find(name)?;
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
    if let Some((_, text)) = SYSTEMS.iter().find(|(known, _)| *known == name) {
        return Ok(Text { origin: format!("suites/systems/{name}.yaml"), text: (*text).to_owned() });
    }
    let path = Path::new(suite).with_file_name(name);
    if Path::new(name).extension().is_none() && !path.exists() {
        let known = SYSTEMS.map(|(known, _)| known);
        let hint = format!("the built-in ones are {}; anything else is the path of a YAML file", known.join(", "));
        return Err((format!("there is no system `{name}`"), join(&suggestion(name, known), &hint)));
    }
    let origin = path.display().to_string();
    let text = input::text(&path, MOST_KIB).map_err(|error| {
        (format!("cannot read the system {origin}: {error}"), "give the path of its YAML file".to_owned())
    })?;
    Ok(Text { origin, text })
}

fn find(name: &str) -> Result<(String, String), Refusal> {
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Ok((format!("suites/{name}.yaml"), (*text).to_owned()));
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
    let text = input::text(path, MOST_KIB).map_err(|error| {
        Refusal::usage(format!("cannot read the suite file {name}: {error}"), "give the path of a suite's YAML file")
    })?;
    Ok((name.to_owned(), text))
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
