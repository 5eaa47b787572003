//! `doctor`: checks in seconds everything a run needs, and says how to fix it. Writes nothing.
//!
//! It makes the checks that a run makes before its first test ([`preflight`]), but continues where a run would stop. What only
//! tests can establish, such as whether pods mount the host folder, is left to them.

use std::fmt::{self, Write as _};

use k8s_openapi::jiff::SignedDuration;
use owo_colors::{OwoColorize, Stream};

use super::preflight::{self, Answers};
use crate::check::{Access, Check};
use crate::cli::Options;
use crate::cluster::{
    self, ApiError, Cluster, End, Operation, Output, ResourceExt, Snapshot, Target, Watch, container,
};
use crate::error::Refusal;
use crate::host::Host;
use crate::report::text::{complete, count};
use crate::suite::{self, Suite};
use crate::{output, redact};

/// Clocks that differ by more get a warning; the `Date` header has whole seconds.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(5);

/// Checks everything that the suites need; `true` if nothing is FAIL.
pub async fn doctor(options: &Options, suites: &[Suite]) -> bool {
    let target = &options.target;
    let mut report = Report { is_ok: true, target };
    let host = Host::new(options.host_data.clone());
    let folder = preflight::folder(&host).await.map(|()| host.root.display().to_string());
    report.judge("folder", folder);
    if let Some(path) = &options.values {
        report.judge("values", preflight::values(options).await.map(|_| path.display().to_string()));
    }
    let kubeconfig = cluster::read_kubeconfig(target);
    let origin = kubeconfig.as_ref().map(|known| format!("{}, context {}", known.origin, target.context));
    report.judge("kubeconfig", origin.map_err(Clone::clone));
    let Ok(kubeconfig) = kubeconfig else { return false };
    let cluster = match Box::pin(cluster::connect_with(target.clone(), kubeconfig)).await {
        Ok(cluster) => cluster,
        Err(refusal) => return report.judge("cluster", Err(refusal)),
    };
    let seen = format!("Kubernetes {} at {}", cluster.version.git_version, cluster.address);
    report.judge("cluster", Ok(seen));
    report.clock(cluster.ahead);
    let checks: Vec<&Check> = suites.iter().flat_map(|suite| &suite.tests).map(|test| &*test.check).collect();
    let answers = preflight::ask(&cluster, suites, &checks, options.values.is_some(), true).await;
    let Answers { namespace, access, revisions, watch } = answers;
    let namespace = namespace.map(|is_confirmed| {
        let unconfirmed = if is_confirmed { "" } else { " (no permission to check that it exists)" };
        format!("{}{unconfirmed}", cluster.namespace())
    });
    let exists = report.judge("namespace", namespace);
    report.permissions(preflight::access(&cluster, &access), &access, &checks);
    let snapshot = watch.as_ref().map_err(Clone::clone).and_then(Watch::snapshot);
    let network = watch.as_ref().map_err(Clone::clone).and_then(Watch::network);
    if exists {
        report.release(preflight::release(&options.target, &revisions, &snapshot, suites), revisions.err());
    }
    // Known missing permissions are reported above.
    let unlisted = snapshot.as_ref().err().or(network.as_ref().err());
    if let Some(error) =
        unlisted.filter(|error| access.unknown.is_some() || !matches!(error, ApiError::Forbidden { .. }))
    {
        report.print(Level::Fail, "objects", &error.to_string(), &error.hint());
    }
    if let Ok(snapshot) = snapshot {
        report.pods(&snapshot, suites);
        report.commands(&cluster, &snapshot, suites).await;
    }
    report.is_ok
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Pass,
    /// A run is possible, but reports less.
    Warn,
    /// A run cannot start, or some tests cannot be judged.
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

/// Prints each finding at once: one line, and a hint if something is wrong.
struct Report<'a> {
    is_ok: bool,
    target: &'a Target,
}

impl Report<'_> {
    fn print(&mut self, level: Level, what: &str, seen: &str, hint: &str) {
        self.is_ok &= level != Level::Fail;
        // They may quote pods and credential plugins.
        let (seen, hint) = (redact::text(seen), redact::text(hint));
        let hint = complete(&hint, &self.target.context, &self.target.namespace);
        let mut text = format!("{level}  {what:<12} {}", seen.replace('\n', " "));
        for (index, line) in hint.lines().enumerate() {
            let _ = write!(text, "\n      {:<12} {line}", if index == 0 { "do:" } else { "" });
        }
        output::print_line(text);
    }

    /// Prints the result of a step of a run; `true` if the run would continue.
    fn judge(&mut self, what: &str, result: Result<String, Refusal>) -> bool {
        match result {
            Ok(seen) => {
                self.print(Level::Pass, what, &seen, "");
                true
            }
            Err(refusal) => {
                self.print(Level::Fail, what, &refusal.what, &refusal.hint);
                false
            }
        }
    }

    fn clock(&mut self, ahead: SignedDuration) {
        let side = if ahead.is_negative() { "behind" } else { "ahead of" };
        let seen = format!("the cluster's clock is {:.0} s {side} this machine's", ahead.abs().as_secs_f64());
        let hint =
            "synchronize both clocks: timestamps in logs and reports differ, and valid credentials may look expired";
        let (level, hint) = if ahead.abs() < CLOCK_TOLERANCE { (Level::Pass, "") } else { (Level::Warn, hint) };
        self.print(level, "clock", &seen, hint);
    }

    fn permissions(&mut self, all: Result<(), Refusal>, access: &Access, checks: &[&Check]) {
        let what = "permissions";
        if let Some(error) = &access.unknown {
            let hint = "run the tests: each reports the permission it lacks";
            return self.print(Level::Warn, what, &format!("cannot be checked: {error}"), hint);
        }
        let some = access.missing_for_some(checks);
        if all.is_err() || some.is_empty() {
            self.judge(what, all.map(|()| format!("all {} that the suites need", access.wanted(checks).len())));
        }
        for (lacked, tests, lost) in some {
            let (level, consequence) = match tests {
                0 => (Level::Warn, lost.to_owned()),
                tests => (Level::Fail, format!("{} cannot be judged", count(tests, "test"))),
            };
            self.print(level, what, &format!("no permission to {lacked}: {consequence}"), &lacked.denied().hint());
        }
    }

    fn release(&mut self, release: Result<String, Refusal>, unlisted: Option<ApiError>) {
        let (what, hint) = ("release", "run the suite release for details");
        match (release, unlisted) {
            (Ok(seen), None) if !seen.ends_with(", deployed") => self.print(Level::Warn, what, &seen, hint),
            (Ok(seen), Some(error @ ApiError::Forbidden { .. })) => self.print(Level::Warn, what, &seen, &error.hint()),
            (Ok(seen), Some(error)) => self.print(Level::Fail, what, &seen, &error.hint()),
            (release, _) => drop(self.judge(what, release)),
        }
    }

    fn pods(&mut self, snapshot: &Snapshot, suites: &[Suite]) {
        for (suite, server) in suite::servers(suites) {
            let Some(obstacle) = snapshot.server(&suite.system.pods, server).obstacle() else { continue };
            let (level, outlook) = match obstacle.may_resolve {
                None => (Level::Fail, String::new()),
                Some(outlook) => (Level::Warn, format!("; {outlook}")),
            };
            let seen = format!("{server}: {}: {}{outlook}", obstacle.object, obstacle.message);
            self.print(level, "pods", &seen, &obstacle.hint);
        }
    }

    /// Runs a command in a container. It needs a websocket, which proxies and gateways may refuse.
    async fn commands(&mut self, cluster: &Cluster, snapshot: &Snapshot, suites: &[Suite]) {
        let mut running = suite::servers(suites).filter_map(|(suite, server)| {
            let its = snapshot.server(&suite.system.pods, server);
            let pod = its.current().into_iter().next()?;
            // A container in which tests run commands: others may lack a shell.
            suite.tests.iter().find_map(|test| test.check.sync_cycles())?;
            let name = &suite.system.export.container;
            container::runs(pod, name).then(|| (pod.name_any(), name.clone()))
        });
        let Some((pod, container)) = running.next() else { return };
        match cluster.exec(&pod, &container, &[Operation::Usage]).await {
            Ok(outputs) => {
                let place = format!("pod {pod}, container {container}");
                let output = outputs.first();
                // The shell exits with these codes if it cannot run the command; other codes are for the check `usage` to judge.
                if output.is_some_and(|output| matches!(output.end, End::Exited(code) if ![126, 127].contains(&code))) {
                    return self.print(Level::Pass, "commands", &format!("run in {place}"), "");
                }
                let problem = output.and_then(Output::problem).unwrap_or_default();
                let hint = "check the pod and the container's image: tests run commands in it";
                self.print(Level::Fail, "commands", &format!("{place}: {problem}"), hint);
            }
            // Missing permissions are reported above.
            Err(ApiError::Forbidden { .. }) => {}
            Err(error) => self.print(Level::Fail, "commands", &format!("pod {pod}: {error}"), &error.hint()),
        }
    }
}
