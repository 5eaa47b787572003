//! Which part of what takes long is run: landings take turns, and four in a row run all of it.

use std::process::Command;

use super::root;

const SHARES: usize = 4;

/// The number of the share that is run, from 0: that of the commits; none if all are, as `ROUNDS=all` asks for and where nobody
/// counted the commits.
pub fn chosen() -> Option<usize> {
    if std::env::var("ROUNDS").is_ok_and(|rounds| rounds == "all") { None } else { Some(commits()? % SHARES) }
}

/// Those of a list that are run: every fourth. Prints which they are.
pub fn deal<T>(what: &str, all: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let (chosen, count) = (chosen(), all.len());
    let dealt = all.into_iter().enumerate().filter(|(index, _)| chosen.is_none_or(|share| index % SHARES == share));
    let dealt: Vec<T> = dealt.map(|(_, one)| one).collect();
    let names: Vec<String> = dealt.iter().map(name).collect();
    println!("{what}: {} of {count} (ROUNDS=all runs all): {}", dealt.len(), names.join(", "));
    dealt
}

/// How many commits there are, if this is a clone of all of them.
fn commits() -> Option<usize> {
    let git = |arguments: &[&str]| {
        let ended = Command::new("git").args(arguments).current_dir(root("")).output().ok()?;
        Some(String::from_utf8(ended.stdout).ok()?.trim().to_owned())
    };
    // Without a folder of its own it would be a repository around this one that answers.
    let is_whole = root(".git").exists() && git(&["rev-parse", "--is-shallow-repository"])? == "false";
    is_whole.then(|| git(&["rev-list", "--count", "HEAD"])?.parse().ok())?
}
