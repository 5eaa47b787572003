//! Which part of what takes long is run: landings take turns, and four in a row run all of it.

use std::process::Command;

use super::root;

/// So many landings run everything.
const SHARES: usize = 4;

/// What is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    All,
    /// The one with that number, from 0.
    One(usize),
}

impl Share {
    /// `ROUNDS=all` or `SHARE=2/4` choose it, else the number of commits; all where nobody counted them.
    pub fn chosen() -> Self {
        let [rounds, share] = ["ROUNDS", "SHARE"].map(|name| std::env::var(name).ok());
        match (rounds.as_deref(), share) {
            (Some("all"), _) => Self::All,
            (_, Some(share)) => {
                let number = share.strip_suffix("/4").and_then(|number| number.parse::<usize>().ok());
                let number = number.filter(|number| (1..=SHARES).contains(number));
                Self::One(number.unwrap_or_else(|| panic!("SHARE={share}: expected 1/4, 2/4, 3/4 or 4/4")) - 1)
            }
            (_, None) => commits().map_or(Self::All, |commits| Self::One(commits % SHARES)),
        }
    }

    /// Those of a list that are run, in its order; `cost` names one and says how long it takes. Prints which they are and
    /// which are left out.
    pub fn deal<T>(self, what: &str, all: Vec<T>, cost: impl Fn(&T) -> (String, u64)) -> Vec<T> {
        let costs: Vec<(String, u64)> = all.iter().map(cost).collect();
        let shares = even(&costs);
        let is_run = |index: &usize| self == Self::All || self == Self::One(shares[*index]);
        let names = |wanted: bool| {
            let those = (0..all.len()).filter(|index| is_run(index) == wanted);
            let names: Vec<&str> = those.map(|index| costs[index].0.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        match self {
            Self::All => println!("all {what}: {}", names(true)),
            Self::One(number) => println!(
                "share {} of {SHARES} of {what}: {}\n  left out: {}\n  \
                 SHARE=1/{SHARES} to {SHARES}/{SHARES} runs another, ROUNDS=all runs all",
                number + 1,
                names(true),
                names(false)
            ),
        }
        all.into_iter().enumerate().filter(|(index, _)| is_run(index)).map(|(_, one)| one).collect()
    }
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

/// The share of each, so that all take about as long: what takes longest first, to the one that has least to do.
fn even(costs: &[(String, u64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(costs[*index].1));
    let (mut loads, mut shares) = ([0; SHARES], vec![0; costs.len()]);
    for index in order {
        let least = (0..SHARES).min_by_key(|share| loads[*share]).unwrap();
        loads[least] += costs[index].1;
        shares[index] = least;
    }
    shares
}
