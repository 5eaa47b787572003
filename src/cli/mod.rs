//! The command line: the only place that knows clap. Imports `cluster`, `error` and `sim` for what options mean.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use libtest_mimic::{Arguments, ColorSetting};

use crate::check::Check;
use crate::error::{Exit, Refusal, suggestion};
use crate::output;

mod options;

pub use options::Options;
use options::{ClusterOptions, Looking, RunOptions, Selection};

use crate::suite::load::BUILT_IN;

/// What the user asked for.
#[derive(Debug)]
pub enum Request {
    /// To run tests.
    Run(Box<Options>),
    /// To judge a recorded run again.
    Replay(Replay),
    /// To know whether a run could start, and what would be in its way.
    Doctor(Box<Options>),
    /// To remove what earlier runs have left.
    Sweep(Sweep),
    /// To know which scenarios of simulated clusters there are.
    Scenarios,
    /// To know what is wrong with suite files.
    Lint(Vec<String>),
    /// The JSON Schema of suite files.
    Schema,
    /// To know what a kind of check is and takes, or which kinds there are.
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
    /// Tell also what is known of broken servers, and when files came
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Colour the output [default: auto, on a terminal]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    color: Option<ColorSetting>,
}

/// What of earlier runs is to be removed, and where.
#[derive(Debug)]
pub struct Sweep {
    /// Where.
    pub options: Box<Options>,
    /// Whether anything is removed, and not only listed.
    pub removes: bool,
    /// What a run must have left alone for so long to count as over.
    pub older_than: Duration,
}

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
    #[command(flatten)]
    selection: Selection,
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
    /// Look whether a run could start: cluster, permissions, release, folder, mount, node; writes nothing
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
    /// Say what is wrong with suite files, without a cluster
    Lint {
        /// YAML files, or built-in suites
        #[arg(required = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        files: Vec<String>,
    },
    /// Print the JSON Schema of suite files, for editors
    Schema,
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
Exit codes:
  0    at least one PASS, no FAIL, no ERROR
  1    at least one FAIL
  2    the command line or a suite file is wrong
  3    could not start or write its output or reports, or an ERROR without a FAIL
  4    nothing was selected, or everything was skipped
  130  interrupted; a second Ctrl-C skips tidying up, a third ends at once";

/// Reads the command line; prints help, version or an error and ends the process where that is all there is to do.
pub fn parse() -> Result<Request, Refusal> {
    let words: Vec<OsString> = std::env::args_os().collect();
    match command().try_get_matches_from(&words) {
        Ok(matches) => from_matches(&matches),
        // clap takes it for a filter, and what follows for wrong.
        Err(error) => Err(words.get(1).and_then(|word| mistyped(word.to_str()?)).unwrap_or_else(|| shown(&error))),
    }
}

/// Shows help, the version, or what is wrong with the command line, and ends the process.
fn shown(error: &clap::Error) -> ! {
    output::keep(error.print());
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Passed };
    std::process::exit(output::ended(exit) as i32)
}

/// A word that looks like a subcommand and is none.
fn mistyped(word: &str) -> Option<Refusal> {
    let known = command();
    let known: Vec<&str> = known.get_subcommands().map(clap::Command::get_name).collect();
    let meant = suggestion(word, known.iter().copied());
    (!known.contains(&word) && !meant.is_empty())
        .then(|| Refusal::usage(format!("there is no subcommand `{word}`"), meant))
}

/// The command. Flattening libtest's arguments replaced what belongs to the program, so that comes again.
fn command() -> clap::Command {
    // They do nothing here, or belong to benchmarks.
    let hidden = [
        "include_ignored",
        "ignored",
        "test",
        "bench",
        "nocapture",
        "show_output",
        "unstable_flags",
        "logfile",
        "format",
    ];
    let command = CommandLine::command()
        .name(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .long_about(None)
        .disable_version_flag(false)
        .help_template("{name} {version}\n{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}")
        .after_help(AFTER_HELP)
        .mut_arg("filter", |arg| arg.help("Run only tests whose names (suite::check::server) contain this"))
        .mut_arg("test_threads", |arg| arg.value_name("N").help("Run at most N tests at once [default: 512]"))
        .mut_arg("skip", |arg| arg.help("Leave out tests whose names contain this; can be repeated"))
        .mut_arg("exact", |arg| arg.help("FILTER and --skip name whole tests"))
        .mut_arg("list", |arg| arg.help("List the tests; needs no cluster"))
        .mut_arg("quiet", |arg| arg.help("Print nothing of tests that pass"))
        .mut_arg("color", |arg| arg.help("Colour the output [default: auto, on a terminal]").hide_possible_values(true))
        .mut_args(|arg| arg.long_help(None));
    let listed = ["filter", "skip", "exact", "list"];
    let command =
        listed.into_iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.help_heading("Tests")));
    let run = ["test_threads", "quiet", "color"];
    let command = run.into_iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.help_heading("Run")));
    let command = hidden.into_iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)));
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
            if looking.selection.suites.is_empty() {
                looking.selection.suites = BUILT_IN.map(|(name, _)| name.to_owned()).into();
            }
            let options = Box::new(options::looking(own(matches), looking)?);
            return Ok(Request::Sweep(Sweep { options, removes: yes, older_than }));
        }
        Some(Command::Lint { files }) => return Ok(Request::Lint(files)),
        Some(Command::Schema) => return Ok(Request::Schema),
        Some(Command::Explain { check }) => return Ok(Request::Explain(check)),
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), env!("CARGO_PKG_NAME"), &mut script);
            return Ok(Request::Completion(script));
        }
        None => {}
    }
    if let Some(refusal) = line.arguments.filter.as_deref().and_then(mistyped) {
        return Err(refusal);
    }
    paint(line.arguments.color);
    if line.cluster.asks_for_help() {
        return Ok(Request::Scenarios);
    }
    let options = options::options(matches, line.arguments, line.selection, line.cluster, line.run)?;
    Ok(Request::Run(Box::new(options)))
}

/// What was written behind the subcommand.
fn own(matches: &clap::ArgMatches) -> &clap::ArgMatches {
    matches.subcommand().map_or(matches, |(_, own)| own)
}

fn paint(color: Option<ColorSetting>) {
    match color {
        Some(ColorSetting::Always) => owo_colors::set_override(true),
        Some(ColorSetting::Never) => owo_colors::set_override(false),
        Some(ColorSetting::Auto) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sim::scenario::HEALTHY;

    fn asked(words: &[&str]) -> Result<Request, Refusal> {
        let words = std::iter::once("file-simulator-e2e").chain(words.iter().copied());
        from_matches(&command().try_get_matches_from(words).unwrap())
    }

    fn parsed(words: &[&str]) -> Result<Options, Refusal> {
        match asked(words)? {
            Request::Run(options) => Ok(*options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn the_default_context_is_never_the_current_one() {
        assert_eq!(parsed(&[]).unwrap().target.context, "file-simulator");
    }

    #[test]
    fn what_disturbs_is_not_run_by_default() {
        let suites = parsed(&[]).unwrap().suites;
        assert!(suites.contains(&"phase3".to_owned()) && !suites.contains(&"restarts".to_owned()), "{suites:?}");
        assert_eq!(parsed(&["--suite", "restarts"]).unwrap().suites, ["restarts"]);
    }

    #[test]
    fn what_libtest_offers_and_we_do_not_is_refused() {
        for words in [&["--logfile", "x"][..], &["--bench"], &["--format", "json"], &["--test-threads", "0"]] {
            assert_eq!(parsed(words).unwrap_err().exit, Exit::Usage, "{words:?}");
        }
    }

    #[test]
    fn a_mistyped_subcommand_is_no_filter() {
        assert!(
            matches!(asked(&["replay", "x.json.gz"]), Ok(Request::Replay(replay)) if replay.file == Path::new("x.json.gz"))
        );
        let refusal = parsed(&["repaly"]).unwrap_err();
        assert!(refusal.hint.contains("`replay`"), "{refusal}");
        assert_eq!(parsed(&["replica"]).unwrap().arguments.filter.as_deref(), Some("replica"));
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
    fn help_has_the_programs_name_the_exit_codes_and_nothing_that_does_nothing() {
        let help = command().render_help().to_string();
        assert!(help.starts_with("file-simulator-e2e 0."), "{help}");
        assert!(help.contains("130  interrupted") && help.contains("--version"), "{help}");
        assert!(!help.contains("--logfile") && !help.contains("--nocapture"), "{help}");
    }
}
