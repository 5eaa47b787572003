//! Runs tests side by side and tells what happened. Imports `check`, `cluster`, `diagnose`, `event`; never `report`.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::check::{Disrupted, Place, Placed, Shared, Site, System};
use crate::cluster::{SLOW, Select};
use crate::diagnose::Diagnoses;
use crate::event::{Ending, Event, Notice, Outcome, Reason, TestId, Verdict};
use crate::suite::{self, PlannedTest};

mod ending;
mod recovery;
mod signal;
pub mod tidy;

pub use signal::Signals;

/// So many tests run at once if nobody says otherwise: with hundreds of servers, each has a connection and some memory.
pub const AT_ONCE: usize = 512;

/// A test with what its suite says of the system.
#[derive(Debug, Clone)]
pub struct Job {
    pub test: PlannedTest,
    pub system: Arc<System>,
    /// All tests of the run's suites, also those that were not selected.
    pub tests: Arc<[PlannedTest]>,
}

/// Runs the jobs, at most `limit` at once, and tidies up; a signal ends it early.
pub async fn run(shared: Arc<Shared>, jobs: Vec<Job>, limit: usize, signals: &Signals) -> Ending {
    let servers = servers(&jobs);
    let diagnoses = Arc::new(Diagnoses::new(Arc::clone(&shared)));
    let mut tests = Tests::new(Arc::clone(&shared), &jobs);
    let all_ended = async {
        // Tests that disrupt come when all others have ended, one after the other, in their order.
        let (disruptive, calm) = jobs.into_iter().partition(|job| job.test.check.about().disrupts);
        tests.run(calm, limit, &diagnoses).await;
        tests.run(disruptive, 1, &diagnoses).await;
        diagnoses.ended().await;
    };
    tokio::select! {
        () = all_ended => {}
        () = signals.asked(1) => {}
    }
    let broken = tests.abort(signals).await;
    for text in ending::tidy_up(&shared, signals, &servers, &broken).await {
        shared.emit(Event::Noticed(Notice { text, is_error: true }));
    }
    let (slowest, at_once) = shared.cluster.load();
    if slowest > SLOW {
        let text = format!(
            "the node was slow: a command took up to {:.1} s, so no more than {at_once} ran at once",
            slowest.as_secs_f64()
        );
        shared.emit(Event::Noticed(Notice { text, is_error: false }));
    }
    if signals.came() { Ending::Interrupted } else { Ending::Completed }
}

/// All servers of the suites, each once.
fn servers(jobs: &[Job]) -> Vec<(String, Select)> {
    let mut servers: Vec<(String, Select)> = Vec::new();
    for its in jobs.chunk_by(|one, next| Arc::ptr_eq(&one.system, &next.system)) {
        let system = &its[0].system;
        let its = system.names().map(|server| (server.clone(), system.pods.clone()));
        servers.extend(its.filter(|server| !servers.contains(server)).collect::<Vec<_>>());
    }
    servers
}

/// What came of a test.
struct Ended {
    verdict: Verdict,
    elapsed: Duration,
    /// What it observed, if that is all that the verdict judges and the run is recorded.
    seen: Option<Value>,
}

impl From<Verdict> for Ended {
    /// Of a test that did not run, or not to its end.
    fn from(verdict: Verdict) -> Self {
        Self { verdict, elapsed: Duration::ZERO, seen: None }
    }
}

/// The tests of a run, as far as they got.
struct Tests {
    shared: Arc<Shared>,
    tasks: JoinSet<(TestId, Ended)>,
    /// Those that have not ended.
    open: BTreeSet<TestId>,
    /// Servers of which a test went wrong.
    broken: BTreeSet<String>,
}

impl Tests {
    fn new(shared: Arc<Shared>, jobs: &[Job]) -> Self {
        let open = jobs.iter().map(|job| job.test.id.clone()).collect();
        Self { shared, tasks: JoinSet::new(), open, broken: BTreeSet::new() }
    }

    /// Runs these, and waits until all of them have ended.
    async fn run(&mut self, jobs: Vec<Job>, limit: usize, diagnoses: &Arc<Diagnoses>) {
        let mut jobs = jobs.into_iter();
        loop {
            for job in jobs.by_ref().take(limit.saturating_sub(self.tasks.len())) {
                let (shared, diagnoses) = (Arc::clone(&self.shared), Arc::clone(diagnoses));
                self.tasks.spawn(async move {
                    let id = job.test.id.clone();
                    let ended = caught(run_test(shared, job, &diagnoses)).await;
                    (id, ended.unwrap_or_else(Ended::from))
                });
            }
            match self.tasks.join_next().await {
                Some(Ok((id, ended))) => self.finished(id, ended),
                // Panics are caught inside.
                Some(Err(_)) => {}
                None => break,
            }
        }
    }

    /// Ends those that still run; returns the servers of which a test went wrong.
    async fn abort(mut self, signals: &Signals) -> BTreeSet<String> {
        self.tasks.abort_all();
        tokio::select! {
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
            () = signals.asked(2) => {}
        }
        for id in self.open.clone() {
            let reason = Reason::new("the run", "to end by itself", "it was interrupted before this test ended");
            self.finished(id, Verdict::error(reason).into());
        }
        self.broken
    }

    fn finished(&mut self, id: TestId, Ended { verdict, elapsed, seen }: Ended) {
        self.open.remove(&id);
        if let (Outcome::Fail | Outcome::Error, Some(server)) = (verdict.outcome, &id.server) {
            self.broken.insert(server.clone());
        }
        self.shared.emit(Event::TestFinished { id, verdict, elapsed, seen });
    }
}

/// Runs one test, if the user may do what it needs; a panic in it and a pod replaced under it are errors of this test alone.
async fn run_test(shared: Arc<Shared>, job: Job, diagnoses: &Diagnoses) -> Ended {
    let started = Instant::now();
    if job.test.check.about().disrupts && !shared.settings.allow_disruption {
        return Verdict::skip("it disrupts the server, which --allow-disruption allows").into();
    }
    let site = Site::new(Arc::clone(&shared), job.test.id, job.system);
    if let Some(lacked) = shared.access.missing_for(&job.test.check) {
        return site.no_answer(&lacked.denied()).into();
    }
    if job.test.check.about().disrupts
        && let Some(down) = shared.down()
    {
        return down_already(&down).into();
    }
    let (mut verdict, seen) = tokio::select! {
        judged = caught(job.test.check.run(&site)) => judged.unwrap_or_else(|defect| (defect, None)),
        reason = site.pod_replaced() => (Verdict::error(reason), None),
    };
    verdict.blocked_by = verdict.blocked_by.and_then(|by| suite::blocker(&by, &site.id, job.tests.iter()));
    diagnoses.begin(&site, verdict.outcome);
    let judged = verdict.clone();
    let mut verdict = considered(&site, verdict).await;
    let elapsed = started.elapsed();
    // An API server that is gone is not waited for by every test again: the end of the run tries once more.
    let may_remove = verdict.outcome != Outcome::Error || shared.cluster.ping().await.is_ok();
    let left = if may_remove { tidy::remove(&shared, |placed| placed.test == site.id).await } else { Vec::new() };
    for (placed, problem) in left {
        let problem = format!("could not remove {placed}: {problem}");
        if verdict.outcome == Outcome::Pass {
            verdict = Verdict::error(Reason::new(placed.to_string(), "to be removed after the test", problem));
        } else {
            verdict.notes.push(problem);
        }
    }
    diagnoses.begin(&site, verdict.outcome);
    // What tidying up made of a verdict cannot be judged again.
    let seen = seen.filter(|_| verdict == judged);
    Ended { verdict, elapsed, seen }
}

/// The verdict as it was, or ERROR where it is no fault of what was looked at: another test's request ended the server, or
/// another program held a file of the test, or its pod is gone.
async fn considered(site: &Site, verdict: Verdict) -> Verdict {
    if !matches!(verdict.outcome, Outcome::Fail | Outcome::Error) {
        return verdict;
    }
    let shared = &site.shared;
    let held = |placed: Placed| {
        let why = shared.host.held(&placed.server, &placed.name)?;
        let reason =
            Reason::new(placed.to_string(), "to be open to others, too", format!("another program holds it: {why}"));
        Some(reason.hint("close what holds it, such as an editor or a virus scanner, and run the test again"))
    };
    let hosted = || shared.ledger.placed(|placed| placed.test == site.id && placed.place == Place::Host);
    if verdict.outcome == Outcome::Fail
        && let Some(replaced) = site.replaced_during_test().await
    {
        return replaced;
    }
    let ended = site.exited_during_test().await;
    ended.or_else(|| hosted().into_iter().find_map(held).map(Verdict::error)).unwrap_or(verdict)
}

/// ERROR, because another server that the run has disrupted is not well: what keeps it so may do the same to the next.
fn down_already(down: &Disrupted) -> Verdict {
    let expected = "to be Ready again before another server is disrupted";
    let seen = format!("it is not, since {} disrupted it", down.test);
    let reason = Reason::new(format!("server {}", down.server), expected, seen);
    Verdict::blocked(down.test.to_string(), reason.hint("nothing was disrupted here; repair it first"))
}

/// What comes of it; a panic in it is a defect of the harness, and an ERROR of one test alone.
async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Verdict> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let said = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        let reason = Reason::new("the harness", "no defect of its own", format!("it panicked: {said}"));
        Verdict::error(reason.hint("report this with the command line that you used"))
    })
}
