//! Splits slow rounds into four shares: each CI run runs the next share, so that four CI runs in a row run all rounds.

use std::process::Command;

use super::root;

const SHARES: usize = 4;

/// The index of the share to run, or `None` for all: from `ROUNDS=all` or `SHARE=2/4`, otherwise from the number of commits.
pub fn chosen() -> Option<usize> {
    let [rounds, share] = ["ROUNDS", "SHARE"].map(|name| std::env::var(name).ok());
    match (rounds.as_deref(), share) {
        (Some("all"), _) => None,
        (_, Some(share)) => {
            let number = share.strip_suffix("/4").and_then(|number| number.parse::<usize>().ok());
            let number = number.filter(|number| (1..=SHARES).contains(number));
            Some(number.unwrap_or_else(|| panic!("SHARE={share}: expected 1/4, 2/4, 3/4 or 4/4")) - 1)
        }
        (_, None) => Some(commits()? % SHARES),
    }
}

/// This share's items: every fourth. Prints which run and which do not.
pub fn deal<T>(what: &str, all: Vec<T>, name: impl Fn(&T) -> String) -> Vec<T> {
    let chosen = chosen();
    let (dealt, others): (Vec<_>, Vec<_>) =
        all.into_iter().enumerate().partition(|(index, _)| chosen.is_none_or(|share| index % SHARES == share));
    let names = |these: &[(usize, T)]| these.iter().map(|(_, one)| name(one)).collect::<Vec<_>>().join(", ");
    println!("{what}: {}", names(&dealt));
    if !others.is_empty() {
        println!("  not run: {}\n  SHARE=1/4 to SHARE=4/4 run other shares, ROUNDS=all runs all", names(&others));
    }
    dealt.into_iter().map(|(_, one)| one).collect()
}

/// The number of commits; `None` in a shallow clone or without Git.
fn commits() -> Option<usize> {
    let git = |arguments: &[&str]| {
        let ended = Command::new("git").args(arguments).current_dir(root("")).output().ok()?;
        Some(String::from_utf8(ended.stdout).ok()?.trim().to_owned())
    };
    // Without `.git` here, Git would use a repository around this folder.
    let is_complete = root(".git").exists() && git(&["rev-parse", "--is-shallow-repository"])? == "false";
    is_complete.then(|| git(&["rev-list", "--count", "HEAD"])?.parse().ok())?
}
