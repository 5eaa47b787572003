//! The command line: the only place that knows clap. Imports `cluster`, `error` and `sim` for what options mean.

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use jiff::SignedDuration;
use libtest_mimic::{Arguments, ColorSetting, FormatSetting};

use crate::check::Wishes;
use crate::cluster::Target;
use crate::error::{Refusal, suggestion};
use crate::sim::INTERVAL;
use crate::sim::scenario::{self, HEALTHY, Scenario};
use crate::suite::load::undisturbing;

/// What the user asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Built-in suites and YAML files.
    pub suites: Vec<String>,
    /// libtest's arguments: which tests, how many at once, whether to list them.
    pub arguments: Arguments,
    /// Which cluster.
    pub target: Target,
    /// The tester's folder.
    pub host_data: PathBuf,
    /// Helm values that say what each server should be like; `None`: those of the release.
    pub values: Option<PathBuf>,
    /// Say what the newest upgrade changed.
    pub changes: bool,
    /// What else the tests should know.
    pub wishes: Wishes,
    /// Where reports are written.
    pub report_dir: PathBuf,
    /// Where the run is recorded.
    pub record: Option<PathBuf>,
    /// The recording to judge again, instead of a run.
    pub replay: Option<PathBuf>,
    /// The simulated cluster to run against, instead of `target` and `host_data`.
    pub simulate: Option<Simulate>,
}

/// What the user wants of a simulated cluster.
#[derive(Debug, Clone)]
pub enum Simulate {
    /// To run against it.
    Scenario(Box<Scenario>),
    /// To know which scenarios there are.
    Help,
}

impl std::fmt::Display for Simulate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scenario(scenario) => {
                write!(f, "scenario {}, broken: {}; sidecars sync every {INTERVAL}s", scenario.name, scenario.broken)
            }
            Self::Help => f.write_str("the list of scenarios"),
        }
    }
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
    Replay {
        /// The file that --record wrote
        file: PathBuf,
        /// Where reports are written: <suite>.xml (JUnit)
        #[arg(long, value_name = "DIR", default_value = "reports/replay")]
        report_dir: PathBuf,
        /// Print nothing of tests that pass
        #[arg(long, short)]
        quiet: bool,
        /// Colour the output [default: auto, on a terminal]
        #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
        color: Option<ColorSetting>,
    },
}

/// The name of the subcommand, which must not become a filter where it is mistyped.
const SUBCOMMANDS: [&str; 1] = ["replay"];

#[derive(Args)]
struct Selection {
    /// A built-in suite or a YAML file; can be repeated [default: every built-in suite that disturbs nothing]
    #[arg(long = "suite", value_name = "NAME|FILE", help_heading = "Tests")]
    suites: Vec<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterOptions {
    /// The kubeconfig's context; the current context is never used
    #[arg(long, value_name = "NAME", default_value = "file-simulator", env = "FILE_SIMULATOR_CONTEXT")]
    context: String,
    /// The release's namespace
    #[arg(long, value_name = "NAME", default_value = "file-simulator", env = "FILE_SIMULATOR_NAMESPACE")]
    namespace: String,
    /// The Helm release
    #[arg(long, value_name = "NAME", default_value = "file-sim", env = "FILE_SIMULATOR_RELEASE")]
    release: String,
    /// Run against a simulated cluster, perhaps one in which something is broken; `help` lists the scenarios
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = HEALTHY)]
    simulate: Option<String>,
    /// The kubeconfig file [default: KUBECONFIG, else .kube/config in your home folder]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Helm values that say what each server should be like [default: those of the release]
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_VALUES")]
    values: Option<PathBuf>,
    /// The node's address for NodePorts, as this machine reaches it [default: the one it has in the cluster]
    #[arg(long, value_name = "ADDRESS", env = "FILE_SIMULATOR_NODE_ADDRESS")]
    node_address: Option<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Run")]
struct RunOptions {
    /// The tester's folder, with one sub-folder for each server
    #[arg(long, value_name = "DIR", default_value = HOST_DATA, env = "FILE_SIMULATOR_HOST_DATA")]
    host_data: PathBuf,
    /// Make missing sub-folders, of servers that have no pod
    #[arg(long)]
    create_host_folders: bool,
    /// Run tests that delete pods or make sidecars stumble; without it they are skipped
    #[arg(long)]
    allow_disruption: bool,
    /// How long rollouts may take to settle, from the start of the run, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = duration, env = "FILE_SIMULATOR_TIMEOUT")]
    timeout: Duration,
    /// Say first what the newest upgrade of the release changed
    #[arg(long)]
    changes: bool,
    /// Where reports are written: <suite>.xml (JUnit)
    #[arg(long, value_name = "DIR", default_value = "reports", env = "FILE_SIMULATOR_REPORT_DIR")]
    report_dir: PathBuf,
    /// Record what the tests observe, to judge it again with `replay`: a gzipped JSON file
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_RECORD")]
    record: Option<PathBuf>,
}

/// What `minikube mount` shares with the pods, as the project's documentation has it.
const HOST_DATA: &str = if cfg!(windows) { r"C:\simulator-data" } else { "/mnt/simulator-data" };

const AFTER_HELP: &str = "\
Exit codes:
  0    at least one PASS, no FAIL, no ERROR
  1    at least one FAIL
  2    the command line or a suite file is wrong
  3    could not start, or an ERROR without a FAIL
  4    nothing was selected, or everything was skipped
  130  interrupted; reports and tidying up were still done";

/// Reads the command line; prints help, version or an error and ends the process where that is all there is to do.
pub fn parse() -> Result<Options, Refusal> {
    let matches = command().get_matches();
    from_matches(&matches)
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
        .mut_arg("test_threads", |arg| arg.value_name("N").help("Run at most N tests at once [default: all]"))
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
    hidden.into_iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)))
}

fn from_matches(matches: &clap::ArgMatches) -> Result<Options, Refusal> {
    let line = CommandLine::from_arg_matches(matches).map_err(|error| Refusal::usage(error.to_string(), ""))?;
    let mut arguments = line.arguments;
    if let Some(meant) =
        arguments.filter.as_deref().map(|filter| suggestion(filter, SUBCOMMANDS)).filter(|meant| !meant.is_empty())
    {
        let filter = arguments.filter.as_deref().unwrap_or_default();
        return Err(Refusal::usage(format!("there is no subcommand `{filter}`"), meant));
    }
    let (mut folder, mut replay) = (line.run.report_dir, None);
    if let Some(Command::Replay { file, report_dir, quiet, color }) = line.command {
        (folder, replay) = (report_dir, Some(file));
        (arguments.quiet, arguments.color) = (quiet, color);
    }
    let refused = [
        (arguments.logfile.is_some(), "--logfile", "redirect standard output instead"),
        (arguments.bench, "--bench", "there are no benchmarks among the suites"),
        (arguments.format == Some(FormatSetting::Json), "--format json", "read the JUnit report instead"),
    ];
    if let Some((_, option, hint)) = refused.into_iter().find(|(given, ..)| *given) {
        return Err(Refusal::usage(format!("{option} is not supported"), hint));
    }
    if arguments.test_threads == Some(0) {
        return Err(Refusal::usage("--test-threads 0 would run nothing", "give 1 or more"));
    }
    let simulate = simulate(matches, line.cluster.simulate.as_deref())?;
    match arguments.color {
        Some(ColorSetting::Always) => owo_colors::set_override(true),
        Some(ColorSetting::Never) => owo_colors::set_override(false),
        Some(ColorSetting::Auto) | None => {}
    }
    let mut suites = line.selection.suites;
    if suites.is_empty() {
        suites = undisturbing();
    }
    let cluster = line.cluster;
    Ok(Options {
        suites,
        arguments,
        target: Target {
            kubeconfig: cluster.kubeconfig,
            context: cluster.context,
            namespace: cluster.namespace,
            release: cluster.release,
        },
        host_data: line.run.host_data,
        values: cluster.values,
        changes: line.run.changes,
        wishes: Wishes {
            settle: line.run.timeout,
            create_folders: line.run.create_host_folders,
            record: line.run.record.is_some(),
            allow_disruption: line.run.allow_disruption,
            node_address: cluster.node_address,
        },
        report_dir: folder,
        record: line.run.record,
        replay,
        simulate,
    })
}

/// The simulated cluster that is asked for; it has a context and a folder of its own.
fn simulate(matches: &clap::ArgMatches, name: Option<&str>) -> Result<Option<Simulate>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    if name == "help" {
        return Ok(Some(Simulate::Help));
    }
    let own = ["context", "namespace", "release", "kubeconfig", "node_address", "host_data"];
    let given = own.into_iter().find(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
    if let Some(given) = given.map(|id| id.replace('_', "-")) {
        let what = format!("--simulate has a cluster and a folder of its own, and --{given} names another");
        return Err(Refusal::usage(what, "leave out one of them"));
    }
    scenario::named(name).map(|scenario| Some(Simulate::Scenario(Box::new(scenario))))
}

fn duration(text: &str) -> Result<Duration, String> {
    let signed: Option<SignedDuration> = text.parse().ok();
    signed.and_then(|signed| Duration::try_from(signed).ok()).ok_or_else(|| "write it like 90s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, Refusal> {
        let words = std::iter::once("file-simulator-e2e").chain(words.iter().copied());
        from_matches(&command().try_get_matches_from(words).unwrap())
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
            assert_eq!(parsed(words).unwrap_err().exit, crate::error::Exit::Usage, "{words:?}");
        }
    }

    #[test]
    fn a_mistyped_subcommand_is_no_filter() {
        assert_eq!(parsed(&["replay", "x.json.gz"]).unwrap().replay, Some("x.json.gz".into()));
        let refusal = parsed(&["repaly"]).unwrap_err();
        assert!(refusal.hint.contains("`replay`"), "{refusal}");
        assert_eq!(parsed(&["replica"]).unwrap().arguments.filter.as_deref(), Some("replica"));
    }

    #[test]
    fn a_simulated_cluster_is_never_taken_for_another() {
        assert!(parsed(&[]).unwrap().simulate.is_none());
        for words in [&["--simulate"][..], &["--simulate=healthy", "latency"]] {
            let simulate = parsed(words).unwrap().simulate.unwrap();
            assert!(matches!(simulate, Simulate::Scenario(scenario) if scenario.name == HEALTHY), "{words:?}");
        }
        for words in [&["--simulate", "--context", "mine"][..], &["--simulate", "--host-data", "."], &["--simulate=x"]]
        {
            assert_eq!(parsed(words).unwrap_err().exit, crate::error::Exit::Usage, "{words:?}");
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
