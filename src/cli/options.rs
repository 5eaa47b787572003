//! The options of a run and of the commands that inspect a cluster.

use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, Resettable, StringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, Args, ColorChoice, Command};
use jiff::SignedDuration;

use crate::check::Settings;
use crate::check::parameter::LONGEST;
use crate::cluster::Target;
use crate::error::Refusal;
use crate::sim::scenario::{self, HEALTHY, Scenario};
use crate::suite::load::{BUILT_IN, non_disruptive};
use crate::suite::select::Filter;

#[derive(Debug, Clone)]
pub struct Options {
    pub suites: Vec<String>,
    pub filter: Filter,
    pub target: Target,
    pub host_data: PathBuf,
    /// A Helm values file with the expected settings; `None`: the release's values.
    pub values: Option<PathBuf>,
    pub settings: Settings,
    /// The simulated cluster to use instead of `target` and `host_data`.
    pub simulate: Option<Box<Scenario>>,
    pub run: RunOptions,
}

/// Accepts any suite name or path; offers the built-in suites for completion.
#[derive(Clone)]
struct SuiteName;

impl TypedValueParser for SuiteName {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(BUILT_IN.iter().map(|(name, _)| PossibleValue::new(*name))))
    }
}

#[derive(Args, Default)]
pub(super) struct Suites {
    /// Built-in suite or YAML file; repeatable [default: all non-disruptive]
    #[arg(long = "suite", value_name = "NAME|FILE", value_parser = SuiteName, hide_possible_values = true, help_heading = "Tests")]
    pub(super) names: Vec<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterOptions {
    /// Kubeconfig context, never the current one
    #[arg(
        long,
        value_name = "NAME",
        default_value = "file-simulator",
        env = "FILE_SIMULATOR_CONTEXT",
        hide_env = true
    )]
    pub(super) context: String,
    /// Namespace of the release
    #[arg(
        long,
        value_name = "NAME",
        default_value = "file-simulator",
        env = "FILE_SIMULATOR_NAMESPACE",
        hide_env = true
    )]
    pub(super) namespace: String,
    /// Name of the Helm release
    #[arg(long, value_name = "NAME", default_value = "file-sim", env = "FILE_SIMULATOR_RELEASE", hide_env = true)]
    pub(super) release: String,
    /// Use a simulated cluster; --simulate=help lists the scenarios
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = HEALTHY)]
    pub(super) simulate: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Root of the host folders
    #[arg(long, value_name = "DIR", default_value = HOST_DATA, env = "FILE_SIMULATOR_HOST_DATA", hide_env = true)]
    pub(super) host_data: PathBuf,
}

impl ClusterOptions {
    pub(super) fn lists_scenarios(&self) -> bool {
        self.simulate.as_deref() == Some("help")
    }
}

/// Not an option of `sweep`, which compares nothing.
#[derive(Debug, Clone, Args, Default)]
pub(super) struct ValuesFile {
    /// Helm values file to compare with [default: the release's values]
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_VALUES", hide_env = true, help_heading = "Cluster")]
    values: Option<PathBuf>,
}

/// The options of commands that inspect the cluster without running tests.
#[derive(Args)]
pub(super) struct Inspection {
    #[command(flatten)]
    pub(super) suites: Suites,
    #[command(flatten)]
    pub(super) cluster: ClusterOptions,
    /// Use color: auto, always or never [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    pub(super) color: Option<ColorChoice>,
}

#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Run")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RunOptions {
    /// List the selected tests and exit; needs no cluster
    #[arg(long, help_heading = "Tests")]
    pub list: bool,
    #[command(flatten)]
    pub(super) values: ValuesFile,
    /// Node address for NodePorts [default: as registered in the cluster]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "FILE_SIMULATOR_NODE_ADDRESS",
        hide_env = true,
        help_heading = "Cluster"
    )]
    node_address: Option<String>,
    /// Run at most N tests at once [default: 512]
    #[arg(long, value_name = "N")]
    pub test_threads: Option<NonZeroUsize>,
    /// Also run tests that delete pods; they are skipped by default
    #[arg(long)]
    allow_disruption: bool,
    /// Time limit for rollouts to settle, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = timeout, env = "FILE_SIMULATOR_TIMEOUT", hide_env = true)]
    timeout: Duration,
    /// Do not print passing tests
    #[arg(long, short)]
    pub quiet: bool,
    /// Also print waits and diagnoses; with --list, what each test needs
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Use color: auto, always or never [default: auto]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    pub(super) color: Option<ColorChoice>,
    /// Folder for the HTML, JUnit and JSON reports
    #[arg(long, value_name = "DIR", default_value = "reports", env = "FILE_SIMULATOR_REPORT_DIR", hide_env = true)]
    pub report_dir: PathBuf,
    /// Record what the tests observe, for the replay command
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_RECORD", hide_env = true)]
    pub record: Option<PathBuf>,
}

/// The folder that the documented `minikube mount` command shares with the pods.
const HOST_DATA: &str = if cfg!(windows) { r"C:\simulator-data" } else { "/mnt/simulator-data" };

/// Combines the parsed options.
///
/// # Errors
/// Options that exclude each other, or an unknown scenario: exit code 2.
pub(super) fn options(
    matches: &clap::ArgMatches,
    filter: Filter,
    suites: Suites,
    cluster: ClusterOptions,
    run: RunOptions,
) -> Result<Options, Refusal> {
    let simulate = simulate(matches, cluster.simulate.as_deref())?;
    let suites = if suites.names.is_empty() { non_disruptive() } else { suites.names };
    Ok(Options {
        suites,
        filter,
        target: Target {
            kubeconfig: cluster.kubeconfig,
            context: cluster.context,
            namespace: cluster.namespace,
            release: cluster.release,
        },
        host_data: cluster.host_data,
        values: run.values.values.clone(),
        settings: Settings {
            settle: run.timeout,
            record: run.record.is_some(),
            allow_disruption: run.allow_disruption,
            node_address: run.node_address.clone(),
        },
        simulate,
        run,
    })
}

pub(super) fn for_inspection(
    matches: &clap::ArgMatches,
    inspection: Inspection,
    values: ValuesFile,
) -> Result<Options, Refusal> {
    let run = RunOptions { values, ..RunOptions::default() };
    options(matches, Filter::default(), inspection.suites, inspection.cluster, run)
}

/// The requested simulated cluster; it defines its own context and host folders.
fn simulate(matches: &clap::ArgMatches, name: Option<&str>) -> Result<Option<Box<Scenario>>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let excluded = ["context", "namespace", "release", "kubeconfig", "node_address", "host_data"];
    // Subcommands lack some of them.
    let is_given = |id: &&str| {
        matches.ids().any(|known| known == *id) && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    if let Some(given) = excluded.into_iter().find(is_given).map(|id| id.replace('_', "-")) {
        let what = format!("--simulate cannot be combined with --{given}: it has its own cluster and host folders");
        return Err(Refusal::usage(what, format!("remove --simulate or --{given}")));
    }
    scenario::named(name).map(|scenario| Some(Box::new(scenario)))
}

/// Treats an empty variable, such as an unset input of a CI job, as not set.
pub(super) fn ignore_empty_variable(arg: Arg) -> Arg {
    let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    if is_empty { arg.env(Resettable::Reset) } else { arg }
}

/// Parses `--timeout`; an error names the variable if the value came from it.
fn timeout(text: &str) -> Result<Duration, String> {
    let name = "FILE_SIMULATOR_TIMEOUT";
    let is_from_variable = std::env::var(name).is_ok_and(|value| value == text);
    duration(text).map_err(|why| if is_from_variable { format!("{why} (from {name})") } else { why })
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let signed: Option<SignedDuration> = text.parse().ok();
    let duration = signed.and_then(|signed| Duration::try_from(signed).ok()).ok_or("write it like 90s or 5m")?;
    if duration > LONGEST { Err(format!("must be at most {}h", LONGEST.as_secs() / 3600)) } else { Ok(duration) }
}
