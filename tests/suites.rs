//! Every built-in test, on a simulated cluster, for `cargo test --test suites` and cargo-nextest.
//!
//! Whichever tests are chosen, the program runs once, and each of them says what it said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

use file_simulator_e2e::suite::load::BUILT_IN;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// By test, its lines of the program's output.
type Said = BTreeMap<String, Vec<String>>;

fn main() {
    let arguments = Arguments::from_args();
    let words = words(&arguments);
    let said = Arc::new(LazyLock::new(move || run(&words)));
    let listed = program(&all().chain(["--list".to_owned()]).collect::<Vec<_>>());
    let listed = String::from_utf8(listed.stdout).unwrap();
    let trials = listed.lines().filter_map(|line| line.strip_suffix(": test")).map(|name| {
        let (name, said) = (name.to_owned(), Arc::clone(&said));
        Trial::ignorable_test(name.clone(), move || completion(&name, &said))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// The same choice of tests, for the program.
fn words(arguments: &Arguments) -> Vec<String> {
    let skip = arguments.skip.iter().flat_map(|skip| ["--skip".to_owned(), skip.clone()]);
    let exact = arguments.exact.then(|| "--exact".to_owned());
    let chosen = skip.chain(exact).chain(arguments.filter.clone());
    ["--simulate", "--color", "never"].map(str::to_owned).into_iter().chain(all()).chain(chosen).collect()
}

/// All built-in suites.
fn all() -> impl Iterator<Item = String> {
    BUILT_IN.into_iter().map(|(name, _)| format!("--suite={name}"))
}

fn run(words: &[String]) -> Said {
    let output = program(words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("SIMULATED"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut said = Said::new();
    let mut current = None;
    // The failures come again behind the grid.
    for line in text.lines().skip_while(|line| !line.starts_with("tests:")).skip(2).take_while(|line| !line.is_empty())
    {
        if !line.starts_with(' ') {
            current = line.split_whitespace().nth(1).map(str::to_owned);
        }
        if let Some(current) = &current {
            said.entry(current.clone()).or_default().push(line.to_owned());
        }
    }
    said
}

fn program(words: &[String]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
    command.args(words).current_dir(folder.path()).output().unwrap()
}

fn completion(name: &str, said: &Said) -> Result<Completion, Failed> {
    let lines = said.get(name).ok_or("it was not run")?;
    match lines[0].split_whitespace().next() {
        Some("PASS") => Ok(Completion::Completed),
        Some("SKIP") => Ok(Completion::ignored_with(lines[0].clone())),
        _ => Err(lines.join("\n").into()),
    }
}
