//! The documentation is correct: its commands work and its tables are complete. Also tests of suite files.

use crate::support::workspace::Workspace;

mod suites;

const README: &str = include_str!("../../README.md");
const USING: &str = include_str!("../../docs/using.md");
const SUITES: &str = include_str!("../../docs/suites.md");

fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = text.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

#[test]
fn every_documented_command_works() {
    let shown = [(README, "sh"), (README, "powershell"), (USING, "sh")];
    let lines = shown.into_iter().flat_map(|(text, language)| blocks(text, language)).flat_map(str::lines);
    let commands: Vec<&str> = lines.filter_map(|line| Some(line.split_once("cargo run")?.1)).collect();
    assert!(commands.len() > 4, "{commands:?}");
    for command in commands {
        let words = command.split('#').next().unwrap().split_whitespace().filter(|word| *word != "--");
        // Other commands need a cluster or a file.
        let is_run = words.clone().all(|word| !["doctor", "sweep", "replay", "explain"].contains(&word));
        let words = words.filter(|word| *word != "--list");
        let arguments: Vec<&str> = words.chain([if is_run { "--list" } else { "--help" }]).collect();
        Workspace::new().expect(&arguments, 0, &[]);
    }
}

#[test]
fn the_readme_names_every_option_and_exit_code() {
    let help = Workspace::new().run(&["--help"]).out;
    let words = help.split(|c: char| !(c.is_alphanumeric() || c == '-'));
    for option in words.filter(|word| word.starts_with("--") && !["--help", "--version"].contains(word)) {
        assert!(README.contains(&format!("`{option}")), "README.md lacks {option}");
    }
    for code in [0, 1, 2, 3, 4, 130] {
        assert!(README.contains(&format!("| {code} | ")) && help.contains(&format!(" {code} ")), "{code}: {help}");
    }
}

#[test]
fn every_test_of_the_built_in_suites_is_documented() {
    let listed = Workspace::new().run(&["--list"]).out;
    for slug in listed.lines().filter_map(|line| line.split("::").nth(1)?.split(':').next()) {
        assert!(SUITES.contains(&format!("| `{slug}`")), "docs/suites.md lacks {slug}");
    }
}
