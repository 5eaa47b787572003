//! The command line; the only module that uses clap's parser.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::check::Check;
use crate::error::{Refusal, suggestion};
use crate::exit_code::Exit;
use crate::output;
use crate::suite::explain::SYSTEM;

mod options;

use options::{ClusterOptions, Inspection, Suites, ValuesFile};
pub use options::{Options, RunOptions};

use crate::suite::load::BUILT_IN;
use crate::suite::select::Filter;

#[derive(Debug)]
pub enum Request {
    Run(Box<Options>),
    Replay(Replay),
    Doctor(Box<Options>),
    Sweep(Sweep),
    Scenarios,
    Explain(Option<String>),
    /// The completion script.
    Completion(Vec<u8>),
}

#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The recording, as written by --record
    pub file: PathBuf,
    /// Folder for the reports: index.html, <suite>.xml (JUnit) and <suite>.json
    #[arg(long, value_name = "DIR", default_value = "reports/replay")]
    pub report_dir: PathBuf,
    /// Do not print passing tests
    #[arg(long, short)]
    pub quiet: bool,
    /// Also print the diagnosis of each broken server
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Use color: auto, always or never [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    color: Option<ColorChoice>,
}

#[derive(Debug)]
pub struct Sweep {
    pub options: Box<Options>,
    /// Remove the files instead of listing them.
    pub remove: bool,
    /// The minimum age of the newest file of a run that counts as ended.
    pub older_than: Duration,
}

#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    suites: Suites,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    run: RunOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a recorded run again and write its reports; needs no cluster
    Replay(Replay),
    /// Check in seconds everything a run needs, and say how to fix it; writes nothing
    Doctor {
        #[command(flatten)]
        inspection: Inspection,
        #[command(flatten)]
        values: ValuesFile,
    },
    /// List the files that killed runs left behind, or remove them
    Sweep {
        #[command(flatten)]
        inspection: Inspection,
        /// Remove the files instead of listing them
        #[arg(long)]
        yes: bool,
        /// Minimum age of a run's newest file
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = options::duration)]
        older_than: Duration,
    },
    /// Describe a check and its keys, for suite authors; without CHECK, list all checks
    Explain {
        /// The check's key in a suite file, or `system`
        #[arg(value_parser = PossibleValuesParser::new(Check::ALL.iter().map(|about| about.key).chain([SYSTEM])), hide_possible_values = true)]
        check: Option<String>,
    },
    /// Print a shell completion script
    Completion {
        /// The shell to complete for
        shell: Shell,
    },
}

const AFTER_HELP: &str = "\
Exit codes: 0 passed, 1 failed, 2 invalid command line or suite file, 3 could not start, judge or
  write, 4 nothing judged, 130 interrupted. A second Ctrl-C skips the cleanup, a third exits.
Environment: FILE_SIMULATOR_CONTEXT, _NAMESPACE, _RELEASE, _VALUES, _NODE_ADDRESS, _HOST_DATA,
  _TIMEOUT, _REPORT_DIR, _RECORD; options take precedence.";

/// Parses the command line. Help, the version and clap's errors are printed here, and end the process.
pub fn parse() -> Result<Request, Refusal> {
    let words: Vec<OsString> = std::env::args_os().collect();
    match command().try_get_matches_from(&words) {
        Ok(matches) => from_matches(&matches),
        // clap parses a mistyped subcommand as FILTER and rejects what follows it.
        Err(error) => {
            words.get(1).and_then(|word| mistyped(word.to_str()?)).map_or_else(|| print_and_exit(&error), Err)
        }
    }
}

/// A refusal if the word is close to the name of a subcommand.
fn mistyped(word: &str) -> Option<Refusal> {
    let command = command();
    let hint = match word {
        "lint" => "check a suite file with `--list --suite FILE`".to_owned(),
        "schema" => "the schema of suite files is docs/suite.schema.json".to_owned(),
        _ => suggestion(word, command.get_subcommands().map(clap::Command::get_name)),
    };
    let is_mistyped = !hint.is_empty() && command.find_subcommand(word).is_none();
    is_mistyped.then(|| Refusal::usage(format!("no subcommand `{word}`"), hint))
}

fn print_and_exit(error: &clap::Error) -> ! {
    output::note_failure(error.print());
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Passed };
    std::process::exit(output::final_exit(exit) as i32)
}

fn command() -> clap::Command {
    let command = CommandLine::command()
        .help_template("{name} {version}\n{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}")
        .after_help(AFTER_HELP);
    let ignore_empty = options::ignore_empty_variable;
    command.mut_args(ignore_empty).mut_subcommands(|command| command.mut_args(ignore_empty))
}

fn from_matches(matches: &clap::ArgMatches) -> Result<Request, Refusal> {
    let line = CommandLine::from_arg_matches(matches).map_err(|error| Refusal::usage(error.to_string(), ""))?;
    match line.command {
        Some(Command::Replay(replay)) => {
            set_color(replay.color);
            return Ok(Request::Replay(replay));
        }
        Some(Command::Doctor { inspection, .. } | Command::Sweep { inspection, .. })
            if inspection.cluster.lists_scenarios() =>
        {
            return Ok(Request::Scenarios);
        }
        Some(Command::Doctor { inspection, values }) => {
            set_color(inspection.color);
            let options = options::for_inspection(of_subcommand(matches), inspection, values)?;
            return Ok(Request::Doctor(Box::new(options)));
        }
        Some(Command::Sweep { mut inspection, yes, older_than }) => {
            set_color(inspection.color);
            // Disruptive suites leave files behind, too.
            if inspection.suites.names.is_empty() {
                inspection.suites.names = BUILT_IN.map(|(name, _)| name.to_owned()).into();
            }
            let values = ValuesFile::default();
            let options = Box::new(options::for_inspection(of_subcommand(matches), inspection, values)?);
            return Ok(Request::Sweep(Sweep { options, remove: yes, older_than }));
        }
        Some(Command::Explain { check }) => return Ok(Request::Explain(check)),
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), env!("CARGO_PKG_NAME"), &mut script);
            return Ok(Request::Completion(script));
        }
        None => {}
    }
    if let Some(refusal) = line.filter.filter.as_deref().and_then(mistyped) {
        return Err(refusal);
    }
    set_color(line.run.color);
    if line.cluster.lists_scenarios() {
        return Ok(Request::Scenarios);
    }
    let options = options::options(matches, line.filter, line.suites, line.cluster, line.run)?;
    Ok(Request::Run(Box::new(options)))
}

fn of_subcommand(matches: &clap::ArgMatches) -> &clap::ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| matches)
}

fn set_color(color: Option<ColorChoice>) {
    match color {
        Some(ColorChoice::Always) => owo_colors::set_override(true),
        Some(ColorChoice::Never) => owo_colors::set_override(false),
        Some(ColorChoice::Auto) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Options {
        let words = std::iter::once("file-simulator-e2e").chain(words.iter().copied());
        match from_matches(&command().try_get_matches_from(words).unwrap()).unwrap() {
            Request::Run(options) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_exclude_disruptive_suites_and_the_current_context() {
        assert_eq!(parsed(&[]).target.context, "file-simulator");
        let suites = parsed(&[]).suites;
        assert!(suites.contains(&"phase3".to_owned()) && !suites.contains(&"restarts".to_owned()), "{suites:?}");
        assert_eq!(parsed(&["--suite", "restarts"]).suites, ["restarts"]);
    }

    #[test]
    fn help_fits_on_one_screen() {
        let help = command().term_width(100).render_help().to_string();
        assert!(help.starts_with("file-simulator-e2e 0.") && help.contains("--version"), "{help}");
        assert!(help.lines().count() <= 50 && help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
