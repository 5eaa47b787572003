//! The options of a run: which tests, which cluster, which folder, and what else the user wants.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, Resettable, StringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, Args, Command};
use jiff::SignedDuration;
use libtest_mimic::{Arguments, ColorSetting, FormatSetting};

use crate::check::Wishes;
use crate::check::parameter::LONGEST;
use crate::cluster::Target;
use crate::error::Refusal;
use crate::sim::scenario::{self, HEALTHY, Scenario};
use crate::suite::load::{BUILT_IN, undisturbing};

/// What the user wants of a run.
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
    /// Tell also what tests wait for, when files came, and what is known of broken servers; with `--list`, what tests need.
    pub verbose: bool,
    /// Where reports are written.
    pub report_dir: PathBuf,
    /// Where the run is recorded.
    pub record: Option<PathBuf>,
    /// The scenario of the simulated cluster to run against, instead of `target` and `host_data`.
    pub simulate: Option<Box<Scenario>>,
}

/// Takes any name of a suite; knows those of the built-in ones, for completion.
#[derive(Clone)]
struct Name;

impl TypedValueParser for Name {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(BUILT_IN.iter().map(|(name, _)| PossibleValue::new(*name))))
    }
}

#[derive(Args, Default)]
pub(super) struct Selection {
    /// A built-in suite or a YAML file; can be repeated [default: every built-in suite that disturbs nothing]
    #[arg(long = "suite", value_name = "NAME|FILE", value_parser = Name, hide_possible_values = true, help_heading = "Tests")]
    pub(super) suites: Vec<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterOptions {
    /// The kubeconfig's context; the current context is never used
    #[arg(long, value_name = "NAME", default_value = "file-simulator", env = "FILE_SIMULATOR_CONTEXT")]
    pub(super) context: String,
    /// The release's namespace
    #[arg(long, value_name = "NAME", default_value = "file-simulator", env = "FILE_SIMULATOR_NAMESPACE")]
    pub(super) namespace: String,
    /// The Helm release
    #[arg(long, value_name = "NAME", default_value = "file-sim", env = "FILE_SIMULATOR_RELEASE")]
    pub(super) release: String,
    /// Run against a simulated cluster, perhaps one in which something is broken; `help` lists the scenarios
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = HEALTHY)]
    pub(super) simulate: Option<String>,
    /// The kubeconfig file [default: KUBECONFIG, else .kube/config in your home folder]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Helm values that say what each server should be like [default: those of the release]
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_VALUES")]
    pub(super) values: Option<PathBuf>,
    /// The node's address for NodePorts, as this machine reaches it [default: the one it has in the cluster]
    #[arg(long, value_name = "ADDRESS", env = "FILE_SIMULATOR_NODE_ADDRESS")]
    pub(super) node_address: Option<String>,
    /// The tester's folder, with one sub-folder for each server
    #[arg(long, value_name = "DIR", default_value = HOST_DATA, env = "FILE_SIMULATOR_HOST_DATA")]
    pub(super) host_data: PathBuf,
}

impl ClusterOptions {
    /// Whether the scenarios are to be listed.
    pub(super) fn asks_for_help(&self) -> bool {
        self.simulate.as_deref() == Some("help")
    }
}

/// What a subcommand takes that looks at the cluster and runs no test.
#[derive(Args)]
pub(super) struct Looking {
    #[command(flatten)]
    pub(super) selection: Selection,
    #[command(flatten)]
    pub(super) cluster: ClusterOptions,
    /// Colour the output [default: auto, on a terminal]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    pub(super) color: Option<ColorSetting>,
}

#[derive(Args, Default)]
#[command(next_help_heading = "Run")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct RunOptions {
    /// Make missing sub-folders, of servers that have no pod
    #[arg(long)]
    pub(super) create_host_folders: bool,
    /// Run tests that delete pods; without it they are skipped
    #[arg(long)]
    pub(super) allow_disruption: bool,
    /// How long rollouts may take to settle, from the start of the run, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = timeout, env = "FILE_SIMULATOR_TIMEOUT")]
    pub(super) timeout: Duration,
    /// Say first what the newest upgrade of the release changed
    #[arg(long)]
    pub(super) changes: bool,
    /// Tell also what tests wait for, when files came, and what is known of broken servers; with --list, what each test needs
    #[arg(long, short, conflicts_with = "quiet")]
    pub(super) verbose: bool,
    /// Where reports are written: index.html, <suite>.xml (JUnit), <suite>.json
    #[arg(long, value_name = "DIR", default_value = "reports", env = "FILE_SIMULATOR_REPORT_DIR")]
    pub(super) report_dir: PathBuf,
    /// Record what the tests observe, to judge it again with `replay`: a gzipped JSON file
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_RECORD")]
    pub(super) record: Option<PathBuf>,
}

/// What `minikube mount` shares with the pods, as the project's documentation has it.
const HOST_DATA: &str = if cfg!(windows) { r"C:\simulator-data" } else { "/mnt/simulator-data" };

/// From what was written to what a run needs to know.
///
/// # Errors
/// Something contradicts itself, or is not supported: exit code 2.
pub(super) fn options(
    matches: &clap::ArgMatches,
    arguments: Arguments,
    selection: Selection,
    cluster: ClusterOptions,
    run: RunOptions,
) -> Result<Options, Refusal> {
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
    let simulate = simulate(matches, cluster.simulate.as_deref())?;
    let suites = if selection.suites.is_empty() { undisturbing() } else { selection.suites };
    Ok(Options {
        suites,
        arguments,
        target: Target {
            kubeconfig: cluster.kubeconfig,
            context: cluster.context,
            namespace: cluster.namespace,
            release: cluster.release,
        },
        host_data: cluster.host_data,
        values: cluster.values,
        changes: run.changes,
        wishes: Wishes {
            settle: run.timeout,
            create_folders: run.create_host_folders,
            record: run.record.is_some(),
            allow_disruption: run.allow_disruption,
            node_address: cluster.node_address,
        },
        verbose: run.verbose,
        report_dir: run.report_dir,
        record: run.record,
        simulate,
    })
}

/// The same for a subcommand that runs no test.
pub(super) fn looking(matches: &clap::ArgMatches, looking: Looking) -> Result<Options, Refusal> {
    options(matches, Arguments::default(), looking.selection, looking.cluster, RunOptions::default())
}

/// The simulated cluster that is asked for; it has a context and a folder of its own.
fn simulate(matches: &clap::ArgMatches, name: Option<&str>) -> Result<Option<Box<Scenario>>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let own = ["context", "namespace", "release", "kubeconfig", "node_address", "host_data"];
    let given = own.into_iter().find(|id| matches.value_source(id) == Some(ValueSource::CommandLine));
    if let Some(given) = given.map(|id| id.replace('_', "-")) {
        let what = format!("--simulate has a cluster and a folder of its own, and --{given} names another");
        return Err(Refusal::usage(what, "leave out one of them"));
    }
    scenario::named(name).map(|scenario| Some(Box::new(scenario)))
}

/// An option whose variable is set and empty, as an input of a CI job that nobody filled in, is not given.
pub(super) fn unset(arg: Arg) -> Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::Reset) } else { arg }
}

/// A duration; what is wrong with one from the environment is said of its variable.
fn timeout(text: &str) -> Result<Duration, String> {
    let name = "FILE_SIMULATOR_TIMEOUT";
    let is_its = std::env::var(name).is_ok_and(|value| value == text);
    duration(text).map_err(|why| if is_its { format!("{why} (it is the value of {name})") } else { why })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let signed: Option<SignedDuration> = text.parse().ok();
    let duration = signed.and_then(|signed| Duration::try_from(signed).ok()).ok_or("write it like 90s or 5m")?;
    if duration > LONGEST { Err(format!("it is at most {}h", LONGEST.as_secs() / 3600)) } else { Ok(duration) }
}
