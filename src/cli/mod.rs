//! The command line: the only place that knows clap. Imports `cluster`, `error` and `sim` for what options mean.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::check::Check;
use crate::error::{Exit, Refusal, suggestion};
use crate::output;
use crate::suite::explain::SYSTEM;

mod options;

use options::{ClusterOptions, Looking, Suites};
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
    /// A script that completes the command line in a shell.
    Completion(Vec<u8>),
}

/// A recorded run to judge again.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The file that --record wrote
    pub file: PathBuf,
    /// Where reports are written: index.html, <suite>.xml (JUnit), <suite>.json
    #[arg(long, value_name = "DIR", default_value = "reports/replay")]
    pub report_dir: PathBuf,
    /// Print nothing of tests that pass
    #[arg(long, short)]
    pub quiet: bool,
    /// Tell also what is known of broken servers
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Colour the output [default: auto, on a terminal]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    color: Option<ColorChoice>,
}

#[derive(Debug)]
pub struct Sweep {
    pub options: Box<Options>,
    pub removes: bool,
    /// What a run must have left alone for so long to count as over.
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
    /// Judge a recorded run again, without a cluster: the same verdicts and reports
    Replay(Replay),
    /// Look whether a run could start: folder, cluster, permissions, release; writes nothing
    Doctor(Looking),
    /// List files of earlier runs that were killed before they could tidy up
    Sweep {
        #[command(flatten)]
        looking: Looking,
        /// Remove them
        #[arg(long)]
        yes: bool,
        /// A run counts as over when all its files are older than this
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = options::duration)]
        older_than: Duration,
    },
    /// Say what a check is and takes, with an example; without CHECK, which there are
    Explain {
        /// The key that names it in a suite
        #[arg(value_parser = PossibleValuesParser::new(Check::ALL.iter().map(|about| about.key).chain([SYSTEM])), hide_possible_values = true)]
        check: Option<String>,
    },
    /// Print a script that completes the command line in a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

const AFTER_HELP: &str = "\
Exit codes: 0 PASS, 1 a FAIL, 2 command line or suite file wrong, 3 could not start, judge or write,
  4 nothing judged, 130 interrupted. A second Ctrl-C skips tidying up, a third ends at once.
Environment: FILE_SIMULATOR_CONTEXT, _NAMESPACE, _RELEASE, _VALUES, _NODE_ADDRESS, _HOST_DATA,
  _TIMEOUT, _REPORT_DIR, _RECORD";

/// Reads the command line; prints help, version or an error and ends the process where that is all there is to do.
pub fn parse() -> Result<Request, Refusal> {
    let words: Vec<OsString> = std::env::args_os().collect();
    match command().try_get_matches_from(&words) {
        Ok(matches) => from_matches(&matches),
        // clap takes it for a filter, and what follows for wrong.
        Err(error) => words.get(1).and_then(|word| mistyped(word.to_str()?)).map_or_else(|| shown(&error), Err),
    }
}

/// Of a word that looks like a subcommand and is none.
fn mistyped(word: &str) -> Option<Refusal> {
    let command = command();
    let meant = match word {
        "lint" => "`--list --suite FILE` says what is wrong with a suite file".to_owned(),
        "schema" => "docs/suite.schema.json is the schema of suite files".to_owned(),
        _ => suggestion(word, command.get_subcommands().map(clap::Command::get_name)),
    };
    let is_mistyped = !meant.is_empty() && command.find_subcommand(word).is_none();
    is_mistyped.then(|| Refusal::usage(format!("there is no subcommand `{word}`"), meant))
}

/// Shows help, the version, or what is wrong with the command line, and ends the process.
fn shown(error: &clap::Error) -> ! {
    output::keep(error.print());
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Passed };
    std::process::exit(output::ended(exit) as i32)
}

fn command() -> clap::Command {
    let command = CommandLine::command()
        .help_template("{name} {version}\n{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}")
        .after_help(AFTER_HELP);
    command.mut_args(options::unset).mut_subcommands(|command| command.mut_args(options::unset))
}

fn from_matches(matches: &clap::ArgMatches) -> Result<Request, Refusal> {
    let line = CommandLine::from_arg_matches(matches).map_err(|error| Refusal::usage(error.to_string(), ""))?;
    match line.command {
        Some(Command::Replay(replay)) => {
            paint(replay.color);
            return Ok(Request::Replay(replay));
        }
        Some(Command::Doctor(looking) | Command::Sweep { looking, .. }) if looking.cluster.asks_for_help() => {
            return Ok(Request::Scenarios);
        }
        Some(Command::Doctor(looking)) => {
            paint(looking.color);
            return options::looking(own(matches), looking).map(|options| Request::Doctor(Box::new(options)));
        }
        Some(Command::Sweep { mut looking, yes, older_than }) => {
            paint(looking.color);
            // Also what those have left that are run only when they are asked for.
            if looking.suites.names.is_empty() {
                looking.suites.names = BUILT_IN.map(|(name, _)| name.to_owned()).into();
            }
            let options = Box::new(options::looking(own(matches), looking)?);
            return Ok(Request::Sweep(Sweep { options, removes: yes, older_than }));
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
    paint(line.run.color);
    if line.cluster.asks_for_help() {
        return Ok(Request::Scenarios);
    }
    let options = options::options(matches, line.filter, line.suites, line.cluster, line.run)?;
    Ok(Request::Run(Box::new(options)))
}

fn own(matches: &clap::ArgMatches) -> &clap::ArgMatches {
    matches.subcommand().map_or(matches, |(_, own)| own)
}

fn paint(color: Option<ColorChoice>) {
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
    fn by_default_nothing_is_disrupted_and_the_current_context_is_not_used() {
        assert_eq!(parsed(&[]).target.context, "file-simulator");
        let suites = parsed(&[]).suites;
        assert!(suites.contains(&"phase3".to_owned()) && !suites.contains(&"restarts".to_owned()), "{suites:?}");
        assert_eq!(parsed(&["--suite", "restarts"]).suites, ["restarts"]);
    }

    #[test]
    fn help_fits_on_a_screen() {
        let help = command().term_width(100).render_help().to_string();
        assert!(help.starts_with("file-simulator-e2e 0.") && help.contains("--version"), "{help}");
        assert!(help.lines().count() <= 50 && help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
