//! `doctor`: looks at what a run needs, in seconds, and says what to do. Writes nothing.
//!
//! It asks what a run asks before its first test ([`preflight`]) and goes on where a run would be refused. What tests say for
//! sure, such as whether pods mount the tester's folder, is theirs to say. Imports `preflight`, `check`, `cluster`.

use std::fmt::Write as _;

use k8s_openapi::jiff::SignedDuration;
use owo_colors::AnsiColors;

use super::preflight::{self, Known};
use crate::check::{Access, Check};
use crate::cli::Options;
use crate::cluster::{self, ApiError, Cluster, Operation, Population, ResourceExt, Watch, container};
use crate::error::Refusal;
use crate::host::Host;
use crate::report::console::painted;
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
    let (target, read) = (&options.target, cluster::read(&options.target));
    let origin = read.as_ref().map(|known| format!("{}, context {}", known.origin, target.context));
    report.judge("kubeconfig", origin.map_err(Clone::clone));
    let Ok(known) = read else { return false };
    let cluster = match Box::pin(cluster::reach(target.clone(), known)).await {
        Ok(cluster) => cluster,
        Err(refusal) => return report.judge("cluster", Err(refusal)),
    };
    let seen = format!("{} answers, Kubernetes {}", cluster.address, cluster.version.git_version);
    report.judge("cluster", Ok(seen));
    report.clock(cluster.ahead);
    let checks: Vec<&Check> = suites.iter().flat_map(|suite| &suite.cases).map(|case| &*case.check).collect();
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
        report.say(FAIL, "objects", &error.to_string(), &error.hint());
    }
    if let Ok(population) = population {
        report.pods(&population, suites);
        report.commands(&cluster, &population, suites).await;
    }
    report.is_well
}

/// As it should be.
const PASS: &str = "PASS";
/// A run goes on, and says less.
const WARN: &str = "WARN";
/// A run cannot start, or tests cannot be judged.
const FAIL: &str = "FAIL";

/// Says what was found, as it is found: a line each, and what to do about it.
struct Report {
    is_well: bool,
}

impl Report {
    fn say(&mut self, level: &str, what: &str, seen: &str, hint: &str) {
        self.is_well &= level != FAIL;
        let colour = match level {
            PASS => AnsiColors::Green,
            WARN => AnsiColors::Yellow,
            _ => AnsiColors::Red,
        };
        let mut text = format!("{}  {what:<12} {}", painted(level, colour), seen.replace('\n', " "));
        for (index, line) in hint.lines().enumerate() {
            let _ = write!(text, "\n      {:<12} {line}", if index == 0 { "do:" } else { "" });
        }
        // Names and errors in it come from pods and plugins.
        output::say(redact::text(&text));
    }

    /// What a run would go on with, or be refused for; `true` if it would go on.
    fn judge(&mut self, what: &str, looked: Result<String, Refusal>) -> bool {
        match looked {
            Ok(seen) => {
                self.say(PASS, what, &seen, "");
                true
            }
            Err(refusal) => {
                self.say(FAIL, what, &refusal.what, &refusal.hint);
                false
            }
        }
    }

    fn clock(&mut self, ahead: SignedDuration) {
        let way = if ahead.is_negative() { "behind" } else { "ahead of" };
        let seen = format!("the cluster's clock is {:.0}s {way} this machine's", ahead.abs().as_secs_f64());
        let hint = "set this machine's clock or the cluster's: logs and reports tell different times, and credentials may seem \
                    to have expired";
        let (level, hint) = if ahead.abs() < CLOCK { (PASS, "") } else { (WARN, hint) };
        self.say(level, "clock", &seen, hint);
    }

    fn permissions(&mut self, all: Result<(), Refusal>, access: &Access, checks: &[&Check]) {
        let what = "permissions";
        if let Some(error) = &access.unknown {
            let hint = "tests find out by themselves what they may not do";
            return self.say(WARN, what, &format!("not known: {error}"), hint);
        }
        let some = access.lacked_by_some(checks);
        if all.is_err() || some.is_empty() {
            self.judge(what, all.map(|()| format!("all {} that the suites ask for", access.wanted(checks).len())));
        }
        for (lacked, tests, lost) in some {
            let (level, then) = match tests {
                0 => (WARN, lost.to_owned()),
                tests => (FAIL, format!("{tests} tests cannot be judged")),
            };
            self.say(level, what, &format!("no permission to {lacked}: {then}"), &lacked.lacking().hint());
        }
    }

    fn release(&mut self, looked: Result<String, Refusal>, unknown: Option<ApiError>) {
        let (what, hint) = ("release", "the tests of the release, helm status and helm history say more");
        match (looked, unknown) {
            (Ok(seen), None) if !seen.ends_with(", deployed") => self.say(WARN, what, &seen, hint),
            (Ok(seen), Some(error @ ApiError::Forbidden { .. })) => self.say(WARN, what, &seen, &error.hint()),
            (Ok(seen), Some(error)) => self.say(FAIL, what, &seen, &error.hint()),
            (looked, _) => drop(self.judge(what, looked)),
        }
    }

    /// Servers whose newest pod does not come.
    fn pods(&mut self, population: &Population, suites: &[Suite]) {
        for (suite, server) in suite::servers(suites) {
            let Some(obstacle) = population.server(&suite.pods, server).obstacle() else { continue };
            let (level, hope) = match obstacle.hope {
                None => (FAIL, String::new()),
                Some(hope) => (WARN, format!("; {hope}")),
            };
            self.say(level, "pods", &format!("{server}: {}: {}{hope}", obstacle.object, obstacle.said), &obstacle.hint);
        }
    }

    /// Whether a command in a container gets through: it needs a websocket, which proxies and gateways may refuse.
    async fn commands(&mut self, cluster: &Cluster, population: &Population, suites: &[Suite]) {
        let mut running = suite::servers(suites).filter_map(|(suite, server)| {
            let known = population.server(&suite.pods, server);
            let pod = known.current().into_iter().next()?;
            let view = container::all(pod).into_iter().find(|view| view.running_since().is_some())?;
            Some((pod.name_any(), view.name.to_owned()))
        });
        let Some((pod, container)) = running.next() else { return };
        match cluster.exec(&pod, &container, &[Operation::Usage]).await {
            Ok(_) => self.say(PASS, "commands", &format!("pod {pod} runs them"), ""),
            // Of permissions enough was said.
            Err(ApiError::Forbidden { .. }) => {}
            Err(error) => self.say(FAIL, "commands", &format!("pod {pod}: {error}"), &error.hint()),
        }
    }
}
