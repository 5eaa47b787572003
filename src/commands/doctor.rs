//! `doctor`: looks at what a run needs, in seconds, and says what to do. Writes nothing.
//!
//! It asks what a run asks before its first test ([`preflight`]) and goes on where a run would be refused. What tests say for
//! sure, such as whether pods mount the host folder, is theirs to say. Imports `preflight`, `check`, `cluster`.

use std::fmt::{self, Write as _};

use k8s_openapi::jiff::SignedDuration;
use owo_colors::{OwoColorize, Stream};

use super::preflight::{self, Known};
use crate::check::{Access, Check};
use crate::cli::Options;
use crate::cluster::{self, ApiError, Cluster, End, Operation, Output, Population, ResourceExt, Watch, container};
use crate::error::Refusal;
use crate::host::Host;
use crate::suite::{self, Suite};
use crate::{output, redact};

/// Clocks that are further apart than this are worth a word: the `Date` header has whole seconds.
const CLOCK: SignedDuration = SignedDuration::from_secs(5);

/// Looks at everything that the suites need; `true` if nothing is FAIL.
pub async fn doctor(options: &Options, suites: &[Suite]) -> bool {
    let mut report = Report { is_well: true };
    let host = Host::new(options.host_data.clone());
    let folder = preflight::folder(&host).await.map(|()| host.root.display().to_string());
    report.judge("folder", folder);
    if let Some(path) = &options.values {
        report.judge("values", preflight::values(options).await.map(|_| path.display().to_string()));
    }
    let (target, read) = (&options.target, cluster::read_kubeconfig(&options.target));
    let origin = read.as_ref().map(|known| format!("{}, context {}", known.origin, target.context));
    report.judge("kubeconfig", origin.map_err(Clone::clone));
    let Ok(known) = read else { return false };
    let cluster = match Box::pin(cluster::connect_with(target.clone(), known)).await {
        Ok(cluster) => cluster,
        Err(refusal) => return report.judge("cluster", Err(refusal)),
    };
    let seen = format!("{} answers, Kubernetes {}", cluster.address, cluster.version.git_version);
    report.judge("cluster", Ok(seen));
    report.clock(cluster.ahead);
    let checks: Vec<&Check> = suites.iter().flat_map(|suite| &suite.tests).map(|test| &*test.check).collect();
    let known = preflight::ask(&cluster, suites, &checks, options.values.is_some(), true).await;
    let Known { namespace, access, revisions, watch } = known;
    let namespace = namespace.map(|is_seen| {
        let unseen = if is_seen { "" } else { ": whether it exists may not be asked" };
        format!("{}{unseen}", cluster.namespace())
    });
    let is_there = report.judge("namespace", namespace);
    report.permissions(preflight::access(&cluster, &access), &access, &checks);
    let population = watch.as_ref().map_err(Clone::clone).and_then(Watch::population);
    let network = watch.as_ref().map_err(Clone::clone).and_then(Watch::network);
    if is_there {
        report.release(preflight::release(&options.target, &revisions, &population, suites), revisions.err());
    }
    // Of permissions that are known enough was said.
    let unlisted = population.as_ref().err().or(network.as_ref().err());
    if let Some(error) =
        unlisted.filter(|error| access.unknown.is_some() || !matches!(error, ApiError::Forbidden { .. }))
    {
        report.say(Level::Fail, "objects", &error.to_string(), &error.hint());
    }
    if let Ok(population) = population {
        report.pods(&population, suites);
        report.commands(&cluster, &population, suites).await;
    }
    report.is_well
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Pass,
    /// A run goes on, and says less.
    Warn,
    /// A run cannot start, or tests cannot be judged.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => "PASS".if_supports_color(Stream::Stdout, |text| text.green()).fmt(f),
            Self::Warn => "WARN".if_supports_color(Stream::Stdout, |text| text.yellow()).fmt(f),
            Self::Fail => "FAIL".if_supports_color(Stream::Stdout, |text| text.red()).fmt(f),
        }
    }
}

/// Says what was found, as it is found: a line each, and what to do about it.
struct Report {
    is_well: bool,
}

impl Report {
    fn say(&mut self, level: Level, what: &str, seen: &str, hint: &str) {
        self.is_well &= level != Level::Fail;
        // Names and errors in it come from pods and plugins.
        let (seen, hint) = (redact::text(seen), redact::text(hint));
        let mut text = format!("{level}  {what:<12} {}", seen.replace('\n', " "));
        for (index, line) in hint.lines().enumerate() {
            let _ = write!(text, "\n      {:<12} {line}", if index == 0 { "do:" } else { "" });
        }
        output::say(text);
    }

    /// What a run would go on with, or be refused for; `true` if it would go on.
    fn judge(&mut self, what: &str, looked: Result<String, Refusal>) -> bool {
        match looked {
            Ok(seen) => {
                self.say(Level::Pass, what, &seen, "");
                true
            }
            Err(refusal) => {
                self.say(Level::Fail, what, &refusal.what, &refusal.hint);
                false
            }
        }
    }

    fn clock(&mut self, ahead: SignedDuration) {
        let way = if ahead.is_negative() { "behind" } else { "ahead of" };
        let seen = format!("the cluster's clock is {:.0}s {way} this machine's", ahead.abs().as_secs_f64());
        let hint = "set this machine's clock or the cluster's: logs and reports tell different times, and credentials may seem \
                    to have expired";
        let (level, hint) = if ahead.abs() < CLOCK { (Level::Pass, "") } else { (Level::Warn, hint) };
        self.say(level, "clock", &seen, hint);
    }

    fn permissions(&mut self, all: Result<(), Refusal>, access: &Access, checks: &[&Check]) {
        let what = "permissions";
        if let Some(error) = &access.unknown {
            let hint = "tests find out by themselves what they may not do";
            return self.say(Level::Warn, what, &format!("not known: {error}"), hint);
        }
        let some = access.missing_for_some(checks);
        if all.is_err() || some.is_empty() {
            self.judge(what, all.map(|()| format!("all {} that the suites ask for", access.wanted(checks).len())));
        }
        for (lacked, tests, lost) in some {
            let (level, then) = match tests {
                0 => (Level::Warn, lost.to_owned()),
                tests => (Level::Fail, format!("{tests} tests cannot be judged")),
            };
            self.say(level, what, &format!("no permission to {lacked}: {then}"), &lacked.denied().hint());
        }
    }

    fn release(&mut self, looked: Result<String, Refusal>, unknown: Option<ApiError>) {
        let (what, hint) = ("release", "the tests of the release, helm status and helm history say more");
        match (looked, unknown) {
            (Ok(seen), None) if !seen.ends_with(", deployed") => self.say(Level::Warn, what, &seen, hint),
            (Ok(seen), Some(error @ ApiError::Forbidden { .. })) => self.say(Level::Warn, what, &seen, &error.hint()),
            (Ok(seen), Some(error)) => self.say(Level::Fail, what, &seen, &error.hint()),
            (looked, _) => drop(self.judge(what, looked)),
        }
    }

    /// Servers whose newest pod does not come.
    fn pods(&mut self, population: &Population, suites: &[Suite]) {
        for (suite, server) in suite::servers(suites) {
            let Some(obstacle) = population.server(&suite.system.pods, server).obstacle() else { continue };
            let (level, hope) = match obstacle.may_resolve {
                None => (Level::Fail, String::new()),
                Some(hope) => (Level::Warn, format!("; {hope}")),
            };
            self.say(
                level,
                "pods",
                &format!("{server}: {}: {}{hope}", obstacle.object, obstacle.message),
                &obstacle.hint,
            );
        }
    }

    /// Whether a command in a container gets through: it needs a websocket, which proxies and gateways may refuse.
    async fn commands(&mut self, cluster: &Cluster, population: &Population, suites: &[Suite]) {
        let mut running = suite::servers(suites).filter_map(|(suite, server)| {
            let known = population.server(&suite.system.pods, server);
            let pod = known.current().into_iter().next()?;
            // One in which tests run commands: others may have no shell.
            suite.tests.iter().find_map(|test| test.check.writes())?;
            let name = &suite.system.export.container;
            container::runs(pod, name).then(|| (pod.name_any(), name.clone()))
        });
        let Some((pod, container)) = running.next() else { return };
        match cluster.exec(&pod, &container, &[Operation::Usage]).await {
            Ok(outputs) => {
                let place = format!("pod {pod}, container {container}");
                let output = outputs.first();
                // Whether that succeeds which it runs, `usage` says; these are the shell's codes for what cannot be run.
                if output.is_some_and(|output| matches!(output.end, End::Exited(code) if ![126, 127].contains(&code))) {
                    return self.say(Level::Pass, "commands", &format!("{place}, runs them"), "");
                }
                let problem = output.and_then(Output::problem).unwrap_or_default();
                let hint = "tests need commands in it: look at the pod and at its image";
                self.say(Level::Fail, "commands", &format!("{place}: {problem}"), hint);
            }
            // Of permissions enough was said.
            Err(ApiError::Forbidden { .. }) => {}
            Err(error) => self.say(Level::Fail, "commands", &format!("pod {pod}: {error}"), &error.hint()),
        }
    }
}
