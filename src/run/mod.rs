//! Runs tests concurrently and sends events. Never imports `report`.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::{Disrupted, Location, Shared, Site, System, TestFile};
use crate::cluster::{SLOW, Select};
use crate::diagnose::Diagnoses;
use crate::event::{Ending, Event, Notice, Outcome, Reason, TestId, Verdict};
use crate::suite::{self, PlannedTest};

pub mod cleanup;
mod ending;
mod recovery;
mod signal;

pub use signal::Signals;

/// The default limit of tests at once: each takes a connection and some memory.
pub const DEFAULT_CONCURRENCY: usize = 512;

#[derive(Debug, Clone)]
pub struct Job {
    pub test: PlannedTest,
    pub system: Arc<System>,
    /// All tests of the run's suites, selected or not.
    pub tests: Arc<[PlannedTest]>,
}

/// Runs the jobs, at most `limit` at once, and cleans up; a signal stops the tests.
pub async fn run(shared: Arc<Shared>, jobs: Vec<Job>, limit: usize, signals: &Signals) -> Ending {
    let servers = servers(&jobs);
    let diagnoses = Arc::new(Diagnoses::new(Arc::clone(&shared)));
    let mut tests = Tests::new(Arc::clone(&shared), &jobs);
    let all_finished = async {
        // Disruptive tests run after all others, one at a time, in their suites' order.
        let (disruptive, others) = jobs.into_iter().partition(|job| job.test.check.info().disrupts);
        tests.run(others, limit, &diagnoses).await;
        tests.run(disruptive, 1, &diagnoses).await;
        diagnoses.finish().await;
    };
    tokio::select! {
        () = all_finished => {}
        () = signals.requested(1) => {}
    }
    let broken = tests.abort(signals).await;
    for text in ending::finish_run(&shared, signals, &servers, &broken).await {
        shared.emit(Event::Noticed(Notice { text, is_error: true }));
    }
    let (slowest, at_once) = shared.cluster.load();
    if slowest > SLOW {
        let slowest = slowest.as_secs_f64();
        let text = format!("the node was slow: commands took up to {slowest:.1} s, so at most {at_once} ran at once");
        shared.emit(Event::Noticed(Notice { text, is_error: false }));
    }
    if signals.any() { Ending::Interrupted } else { Ending::Completed }
}

fn servers(jobs: &[Job]) -> Vec<(String, Select)> {
    let mut servers: Vec<(String, Select)> = Vec::new();
    for its in jobs.chunk_by(|one, next| Arc::ptr_eq(&one.system, &next.system)) {
        let system = &its[0].system;
        let its = system.names().map(|server| (server.clone(), system.pods.clone()));
        servers.extend(its.filter(|server| !servers.contains(server)).collect::<Vec<_>>());
    }
    servers
}

struct Finished {
    verdict: Verdict,
    elapsed: Duration,
    /// The observation, if the run is recorded and the verdict depends on nothing else.
    seen: Option<Value>,
}

impl From<Verdict> for Finished {
    /// For a test that did not run, or not to its end.
    fn from(verdict: Verdict) -> Self {
        Self { verdict, elapsed: Duration::ZERO, seen: None }
    }
}

struct Tests {
    shared: Arc<Shared>,
    tasks: JoinSet<(TestId, Finished)>,
    unfinished: BTreeSet<TestId>,
    broken: BTreeSet<String>,
}

impl Tests {
    fn new(shared: Arc<Shared>, jobs: &[Job]) -> Self {
        let unfinished = jobs.iter().map(|job| job.test.id.clone()).collect();
        Self { shared, tasks: JoinSet::new(), unfinished, broken: BTreeSet::new() }
    }

    async fn run(&mut self, jobs: Vec<Job>, limit: usize, diagnoses: &Arc<Diagnoses>) {
        let mut jobs = jobs.into_iter();
        loop {
            for job in jobs.by_ref().take(limit.saturating_sub(self.tasks.len())) {
                let (shared, diagnoses) = (Arc::clone(&self.shared), Arc::clone(diagnoses));
                self.tasks.spawn(async move {
                    let id = job.test.id.clone();
                    let finished = catch_panic(run_test(shared, job, &diagnoses)).await;
                    (id, finished.unwrap_or_else(Finished::from))
                });
            }
            match self.tasks.join_next().await {
                Some(Ok((id, finished))) => self.finish(id, finished),
                // The test stays unfinished, which `abort` reports.
                Some(Err(_)) => {}
                None => break,
            }
        }
    }

    /// Aborts the tests that still run; returns the broken servers.
    async fn abort(mut self, signals: &Signals) -> BTreeSet<String> {
        self.tasks.abort_all();
        tokio::select! {
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
            () = signals.requested(2) => {}
        }
        for id in self.unfinished.clone() {
            let verdict = if signals.any() {
                let expected = "to finish this test";
                Verdict::error(Reason::new("the run", expected, "interrupted before that"))
            } else {
                internal_error("the task of the test was lost")
            };
            self.finish(id, verdict.into());
        }
        self.broken
    }

    fn finish(&mut self, id: TestId, Finished { verdict, elapsed, seen }: Finished) {
        self.unfinished.remove(&id);
        if let (Outcome::Fail | Outcome::Error, Some(server)) = (verdict.outcome, &id.server) {
            self.broken.insert(server.clone());
        }
        self.shared.emit(Event::TestFinished { id, verdict, elapsed, seen });
    }
}

/// Runs one test and cleans up after it. A missing permission, a panic, or a replaced pod is an ERROR of this test alone.
async fn run_test(shared: Arc<Shared>, job: Job, diagnoses: &Diagnoses) -> Finished {
    let started = Instant::now();
    if job.test.check.info().disrupts && !shared.settings.allow_disruption {
        return Verdict::skip("disruptive; enable with --allow-disruption").into();
    }
    let site = Site::new(Arc::clone(&shared), job.test.id, job.system);
    if let Some(lacked) = shared.access.missing_for(&job.test.check) {
        return site.request_failed(&lacked.denied()).into();
    }
    if job.test.check.info().disrupts
        && let Some(down) = shared.down()
    {
        return blocked_by_disrupted(&down).into();
    }
    let (mut verdict, seen) = tokio::select! {
        judged = catch_panic(job.test.check.run(&site)) => judged.unwrap_or_else(|panic| (panic, None)),
        reason = site.pod_replaced() => (Verdict::error(reason), None),
    };
    verdict.blocked_by = verdict.blocked_by.and_then(|by| suite::blocker(&by, &site.id, job.tests.iter()));
    diagnoses.begin(&site, verdict.outcome);
    let judged = verdict.clone();
    let mut verdict = reclassify(&site, verdict).await;
    let elapsed = started.elapsed();
    // If the API server is down, leave the files to the end of the run instead of waiting in every test.
    let may_remove = verdict.outcome != Outcome::Error || shared.cluster.ping().await.is_ok();
    let left = if may_remove { cleanup::remove(&shared, |file| file.test == site.id).await } else { Vec::new() };
    for (file, problem) in left {
        let problem = format!("cannot remove {file}: {problem}");
        if verdict.outcome == Outcome::Pass {
            verdict = Verdict::error(Reason::new(file.to_string(), "to be removed after the test", problem));
        } else {
            verdict.notes.push(problem);
        }
    }
    diagnoses.begin(&site, verdict.outcome);
    // A verdict that was changed since does not follow from the observation alone.
    let seen = seen.filter(|_| verdict == judged);
    Finished { verdict, elapsed, seen }
}

/// Turns a verdict into ERROR if its cause is not the system: a request of another test ended the server, another program
/// locked a file of the test, or the pod was replaced.
async fn reclassify(site: &Site, verdict: Verdict) -> Verdict {
    if !matches!(verdict.outcome, Outcome::Fail | Outcome::Error) {
        return verdict;
    }
    let shared = &site.shared;
    let locked = |file: TestFile| {
        let why = shared.host.locked(&file.server, &file.name)?;
        let reason = Reason::new(file.to_string(), "not locked", format!("locked by another program: {why}"));
        Some(reason.hint("close the program, such as an editor or a virus scanner, and run the test again"))
    };
    let in_host_folder = || shared.ledger.files(|file| file.test == site.id && file.location == Location::Host);
    if verdict.outcome == Outcome::Fail
        && let Some(replaced) = site.replaced_during_test().await
    {
        return replaced;
    }
    let ended = site.exited_during_test().await;
    ended.or_else(|| in_host_folder().into_iter().find_map(locked).map(Verdict::error)).unwrap_or(verdict)
}

/// ERROR because a disrupted server is still down: its cause might affect the next server, too.
fn blocked_by_disrupted(down: &Disrupted) -> Verdict {
    let expected = "Ready again before another server is disrupted";
    let seen = format!("not Ready since {} disrupted it", down.test);
    let reason = Reason::new(format!("server {}", down.server), expected, seen);
    let hint = format!("fix {}, then run this test again; it has disrupted nothing", down.server);
    Verdict::blocked(down.test.to_string(), reason.hint(hint))
}

async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Verdict> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let message = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        internal_error(format!("the test panicked: {message}"))
    })
}

fn internal_error(seen: impl Into<String>) -> Verdict {
    let reason = Reason::new("internal error", "the test to finish", seen);
    Verdict::error(reason.hint("report this error with your command line"))
}
