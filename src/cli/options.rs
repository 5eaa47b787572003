//! The options of a run: which tests, which cluster, which folder, and what else the user wants.

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
    /// Helm values that say what each server should be like; `None`: those of the release.
    pub values: Option<PathBuf>,
    pub settings: Settings,
    /// The scenario of the simulated cluster to run against, instead of `target` and `host_data`.
    pub simulate: Option<Box<Scenario>>,
    pub run: RunOptions,
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
pub(super) struct Suites {
    /// A built-in suite or a YAML file; repeatable [default: all that disrupt nothing]
    #[arg(long = "suite", value_name = "NAME|FILE", value_parser = Name, hide_possible_values = true, help_heading = "Tests")]
    pub(super) names: Vec<String>,
}

#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct ClusterOptions {
    /// The kubeconfig's context, never the current
    #[arg(
        long,
        value_name = "NAME",
        default_value = "file-simulator",
        env = "FILE_SIMULATOR_CONTEXT",
        hide_env = true
    )]
    pub(super) context: String,
    /// The release's namespace
    #[arg(
        long,
        value_name = "NAME",
        default_value = "file-simulator",
        env = "FILE_SIMULATOR_NAMESPACE",
        hide_env = true
    )]
    pub(super) namespace: String,
    /// The Helm release
    #[arg(long, value_name = "NAME", default_value = "file-sim", env = "FILE_SIMULATOR_RELEASE", hide_env = true)]
    pub(super) release: String,
    /// Run against a simulated cluster; `help` lists the scenarios
    #[arg(long, value_name = "SCENARIO", num_args = 0..=1, require_equals = true, default_missing_value = HEALTHY)]
    pub(super) simulate: Option<String>,
    /// The kubeconfig [default: KUBECONFIG, else .kube/config in your home]
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Helm values of what servers should be like [default: the release's]
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_VALUES", hide_env = true)]
    pub(super) values: Option<PathBuf>,
    /// The host folder
    #[arg(long, value_name = "DIR", default_value = HOST_DATA, env = "FILE_SIMULATOR_HOST_DATA", hide_env = true)]
    pub(super) host_data: PathBuf,
}

impl ClusterOptions {
    pub(super) fn asks_for_help(&self) -> bool {
        self.simulate.as_deref() == Some("help")
    }
}

/// What a subcommand takes that looks at the cluster and runs no test.
#[derive(Args)]
pub(super) struct Looking {
    #[command(flatten)]
    pub(super) suites: Suites,
    #[command(flatten)]
    pub(super) cluster: ClusterOptions,
    /// Colour the output [default: auto, on a terminal]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    pub(super) color: Option<ColorChoice>,
}

#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Run")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct RunOptions {
    /// List the tests; needs no cluster
    #[arg(long, help_heading = "Tests")]
    pub list: bool,
    /// The node's address for NodePorts [default: its own in the cluster]
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
    /// Run tests that delete pods; without it they are skipped
    #[arg(long)]
    allow_disruption: bool,
    /// How long rollouts may take to settle, such as 90s or 5m
    #[arg(long, value_name = "DURATION", default_value = "120s", value_parser = timeout, env = "FILE_SIMULATOR_TIMEOUT", hide_env = true)]
    timeout: Duration,
    /// Print nothing of tests that pass
    #[arg(long, short)]
    pub quiet: bool,
    /// Tell also waits and broken servers; with --list, what tests need
    #[arg(long, short, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Colour the output [default: auto, on a terminal]
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    pub(super) color: Option<ColorChoice>,
    /// Where the page, JUnit and JSON go
    #[arg(long, value_name = "DIR", default_value = "reports", env = "FILE_SIMULATOR_REPORT_DIR", hide_env = true)]
    pub report_dir: PathBuf,
    /// Record what the tests observe, to judge it again with `replay`
    #[arg(long, value_name = "FILE", env = "FILE_SIMULATOR_RECORD", hide_env = true)]
    pub record: Option<PathBuf>,
}

/// What `minikube mount` shares with the pods, as the project's documentation has it.
const HOST_DATA: &str = if cfg!(windows) { r"C:\simulator-data" } else { "/mnt/simulator-data" };

/// From what was written to what a run needs to know.
///
/// # Errors
/// Something contradicts itself, or is not supported: exit code 2.
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
        values: cluster.values,
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

/// The same for a subcommand that runs no test.
pub(super) fn looking(matches: &clap::ArgMatches, looking: Looking) -> Result<Options, Refusal> {
    options(matches, Filter::default(), looking.suites, looking.cluster, RunOptions::default())
}

/// The simulated cluster that is asked for; it has a context and a folder of its own.
fn simulate(matches: &clap::ArgMatches, name: Option<&str>) -> Result<Option<Box<Scenario>>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let own = ["context", "namespace", "release", "kubeconfig", "node_address", "host_data"];
    // A subcommand does not take all of them.
    let is_given =
        |id: &&str| matches.ids().any(|its| its == *id) && matches.value_source(id) == Some(ValueSource::CommandLine);
    let given = own.into_iter().find(is_given);
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
