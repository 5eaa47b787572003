//! The command line: the only place that knows clap; answers what needs no more than words. Imports `cluster`, `error`, `sim` and
//! `suite` for what options mean.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::check::Check;
use crate::error::{Exit, Refusal};
use crate::output;
use crate::sim::scenario;
use crate::suite::explain;
use crate::suite::load::BUILT_IN;
use crate::suite::select::Filter;

mod options;

use options::{ClusterOptions, Looking, Suites};
pub use options::{Options, RunOptions};

#[derive(Debug)]
pub enum Request {
    Run(Box<Options>),
    Replay(Replay),
    Doctor(Box<Options>),
    Sweep(Box<Options>, Sweeping),
    /// What needs no cluster: a text.
    Say(String),
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
}

#[derive(Debug, clap::Args)]
pub struct Sweeping {
    /// Remove them
    #[arg(long)]
    pub yes: bool,
    /// A run counts as over when all its files are older than this
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = options::duration)]
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
        #[command(flatten)]
        sweep: Sweeping,
    },
    /// Say what a check is and takes, with an example; without CHECK, which there are
    Explain {
        /// The key that names it in a suite
        #[arg(value_parser = PossibleValuesParser::new(Check::ALL.iter().map(|about| about.key)), hide_possible_values = true)]
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
    match command().try_get_matches() {
        Ok(matches) => from_matches(&matches),
        Err(error) => shown(&error),
    }
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
    let own = matches.subcommand().map_or(matches, |(_, own)| own);
    match line.command {
        None => {
            if line.cluster.asks_for_help() {
                return scenarios();
            }
            let options = options::options(own, line.filter, line.suites, line.cluster, line.run)?;
            Ok(Request::Run(Box::new(options)))
        }
        Some(Command::Replay(replay)) => Ok(Request::Replay(replay)),
        Some(Command::Doctor(looking) | Command::Sweep { looking, .. }) if looking.cluster.asks_for_help() => {
            scenarios()
        }
        Some(Command::Doctor(looking)) => Ok(Request::Doctor(Box::new(look(own, looking)?))),
        Some(Command::Sweep { mut looking, sweep }) => {
            // Also what those have left that are run only when they are asked for.
            if looking.suites.names.is_empty() {
                looking.suites.names = BUILT_IN.map(|(name, _)| name.to_owned()).into();
            }
            Ok(Request::Sweep(Box::new(look(own, looking)?), sweep))
        }
        Some(Command::Explain { check }) => {
            Ok(Request::Say(check.and_then(|check| explain::explain(&check)).unwrap_or_else(explain::list)))
        }
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), env!("CARGO_PKG_NAME"), &mut script);
            Ok(Request::Say(String::from_utf8_lossy(&script).into_owned()))
        }
    }
}

fn scenarios() -> Result<Request, Refusal> {
    let all: Vec<String> = scenario::all()?.iter().map(ToString::to_string).collect();
    Ok(Request::Say(all.join("\n")))
}

/// The options of a subcommand that runs no test.
fn look(own: &clap::ArgMatches, Looking { suites, cluster }: Looking) -> Result<Options, Refusal> {
    options::options(own, Filter::default(), suites, cluster, RunOptions::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::HEALTHY;

    fn parsed(words: &[&str]) -> Result<Options, Refusal> {
        let words = std::iter::once("file-simulator-e2e").chain(words.iter().copied());
        match from_matches(&command().try_get_matches_from(words).unwrap())? {
            Request::Run(options) => Ok(*options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn by_default_nothing_is_disturbed_and_the_current_context_is_not_used() {
        assert_eq!(parsed(&[]).unwrap().target.context, "file-simulator");
        let suites = parsed(&[]).unwrap().suites;
        assert!(suites.contains(&"phase3".to_owned()) && !suites.contains(&"restarts".to_owned()), "{suites:?}");
        assert_eq!(parsed(&["--suite", "restarts"]).unwrap().suites, ["restarts"]);
    }

    #[test]
    fn a_simulated_cluster_is_never_taken_for_another() {
        assert!(parsed(&[]).unwrap().simulate.is_none());
        for words in [&["--simulate"][..], &["--simulate=healthy", "latency"]] {
            let simulate = parsed(words).unwrap().simulate.unwrap();
            assert_eq!(simulate.name, HEALTHY, "{words:?}");
        }
        for words in [&["--simulate", "--context", "mine"][..], &["--simulate", "--host-data", "."], &["--simulate=x"]]
        {
            assert_eq!(parsed(words).unwrap_err().exit, Exit::Usage, "{words:?}");
        }
    }

    #[test]
    fn help_fits_on_a_screen() {
        let help = command().term_width(100).render_help().to_string();
        assert!(help.starts_with("file-simulator-e2e 0.") && help.contains("--version"), "{help}");
        assert!(help.lines().count() <= 50 && help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
