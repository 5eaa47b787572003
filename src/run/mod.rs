//! Runs tests side by side and tells what happened. Imports `check`, `cluster`, `diagnose`, `event`; never `report`.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use crate::check::{Disturbed, Place, Placed, Shared, Site, System};
use crate::cluster::{SLOW, Select};
use crate::diagnose::Diagnoses;
use crate::event::{CaseId, Ending, Event, Outcome, Reason, Verdict};
use crate::suite::{self, PlannedCase};

mod ending;
mod signal;
pub mod tidy;

pub use signal::Signals;

/// So many tests run at once if nobody says otherwise: with hundreds of servers, each has a connection and some memory.
pub const AT_ONCE: usize = 512;

/// A test with what its suite says of the system.
#[derive(Debug, Clone)]
pub struct Job {
    pub case: PlannedCase,
    pub system: Arc<System>,
    /// All tests of the run's suites, also those that were not selected.
    pub tests: Arc<[PlannedCase]>,
}

/// Runs the jobs, at most `limit` at once, and tidies up; a signal ends it early.
pub async fn run(shared: Arc<Shared>, jobs: Vec<Job>, limit: usize, signals: &Signals) -> (Ending, Vec<Outcome>) {
    let permits = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
    // Tests that disturb come when all others have ended, one after the other, in their order: so many may have begun.
    let mut calm = jobs.iter().filter(|job| !job.case.check.about().disturbs).count();
    let turns = watch::Sender::new(usize::from(calm == 0));
    let mut disturbing = 0;
    let mut tasks = JoinSet::new();
    let mut open = HashMap::new();
    let mut outcomes = Vec::new();
    let mut broken = BTreeSet::new();
    let mut servers: Vec<(String, Select)> = Vec::new();
    let diagnoses = Arc::new(Diagnoses::new(Arc::clone(&shared)));
    for its in jobs.chunk_by(|one, next| Arc::ptr_eq(&one.system, &next.system)) {
        let system = &its[0].system;
        let its = system.names().map(|server| (server.clone(), system.pods.clone()));
        servers.extend(its.filter(|server| !servers.contains(server)).collect::<Vec<_>>());
    }
    let mut finished = |id: CaseId, verdict: Verdict, elapsed| {
        outcomes.push(verdict.outcome);
        if let (Outcome::Fail | Outcome::Error, Some(server)) = (verdict.outcome, &id.server) {
            broken.insert(server.clone());
        }
        shared.tell(Event::CaseFinished { id, verdict, elapsed });
    };
    for job in jobs {
        let id = job.case.id.clone();
        let disturbs = job.case.check.about().disturbs;
        let (shared, permits, diagnoses) = (Arc::clone(&shared), Arc::clone(&permits), Arc::clone(&diagnoses));
        disturbing += usize::from(disturbs);
        let (mut begun, place) = (turns.subscribe(), disturbing);
        let started = tasks.spawn(async move {
            if disturbs {
                // The sender lives as long as the tasks.
                let _ = begun.wait_for(|begun| *begun >= place).await;
            }
            let _permit = permits.acquire_owned().await;
            run_case(shared, job, &diagnoses).await
        });
        open.insert(started.id(), (id, disturbs));
    }
    let ending = loop {
        tokio::select! {
            joined = tasks.join_next_with_id() => match joined {
                None => break Ending::Completed,
                Some(joined) => {
                    let task = joined.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
                    let Some((id, disturbs)) = open.remove(&task) else { continue };
                    match joined {
                        Ok((_, (verdict, elapsed))) => finished(id, verdict, elapsed),
                        // Panics are caught inside; what is left is a defect all the same, and its test is not lost.
                        Err(error) => finished(id, defect(error.to_string()), Duration::ZERO),
                    }
                    calm -= usize::from(!disturbs);
                    if calm == 0 {
                        turns.send_modify(|begun| *begun += 1);
                    }
                }
            },
            () = signals.asked(1) => break Ending::Interrupted,
        }
    };
    let ending = match ending {
        Ending::Completed => tokio::select! {
            () = diagnoses.ended() => Ending::Completed,
            () = signals.asked(1) => Ending::Interrupted,
        },
        ending => ending,
    };
    tasks.abort_all();
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = signals.asked(2) => {}
    }
    for (id, _) in open.into_values() {
        let reason = Reason::new("the run", "to end by itself", "it was interrupted before this test ended");
        finished(id, Verdict::error(reason), Duration::ZERO);
    }
    for text in ending::tidy_up(&shared, signals, &servers, &broken).await {
        outcomes.push(Outcome::Error);
        shared.tell(Event::Noticed { text, is_error: true });
    }
    let (slowest, at_once) = shared.cluster.pace();
    if slowest > SLOW {
        let text = format!(
            "the node was slow: a command took up to {:.1} s, so no more than {at_once} ran at once",
            slowest.as_secs_f64()
        );
        shared.tell(Event::Noticed { text, is_error: false });
    }
    (if signals.came() { Ending::Interrupted } else { ending }, outcomes)
}

/// Runs one test, if the user may do what it needs; a panic in it and a pod replaced under it are errors of this test alone.
async fn run_case(shared: Arc<Shared>, job: Job, diagnoses: &Diagnoses) -> (Verdict, Duration) {
    let started = Instant::now();
    if job.case.check.about().disturbs && !shared.wishes.allow_disruption {
        return (Verdict::skip("it disturbs the server, which --allow-disruption allows"), Duration::ZERO);
    }
    let site = Site::new(Arc::clone(&shared), job.case.id, job.system);
    if let Some(lacked) = shared.access.lacked_by(&job.case.check) {
        return (site.no_answer(&lacked.lacking()), Duration::ZERO);
    }
    if job.case.check.about().disturbs
        && let Some(down) = shared.down()
    {
        return (down_already(&down), Duration::ZERO);
    }
    let (mut verdict, seen) = tokio::select! {
        judged = AssertUnwindSafe(job.case.check.run(&site)).catch_unwind() => {
            judged.unwrap_or_else(|panic| (defect(format!("it panicked: {}", said(&*panic))), None))
        }
        reason = site.pod_replaced() => (Verdict::error(reason), None),
    };
    verdict.blocked_by = verdict.blocked_by.and_then(|by| suite::blocker(&by, &site.id, job.tests.iter()));
    diagnoses.begin(&site, verdict.outcome);
    let judged = verdict.clone();
    let mut verdict = considered(&site, verdict).await;
    let elapsed = started.elapsed();
    // An API server that is gone is not waited for by every test again: the end of the run tries once more.
    let may_remove = verdict.outcome != Outcome::Error || shared.cluster.answers().await.is_ok();
    let left = if may_remove { tidy::remove(&shared, |placed| placed.case == site.id).await } else { Vec::new() };
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
    if let Some(seen) = seen.filter(|_| verdict == judged) {
        shared.tell(Event::CaseObserved { id: site.id.clone(), seen: Arc::new(seen) });
    }
    (verdict, elapsed)
}

/// The verdict as it was, or ERROR where it is no fault of what was looked at: another test's request ended the server, or
/// another program held a file of the test.
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
    let hosted = || shared.ledger.placed(|placed| placed.case == site.id && placed.place == Place::Host);
    let ended = site.ended_under_it().await;
    ended.or_else(|| hosted().into_iter().find_map(held).map(Verdict::error)).unwrap_or(verdict)
}

/// ERROR, because another server that the run has disturbed is not well: what keeps it so may do the same to the next.
fn down_already(down: &Disturbed) -> Verdict {
    let expected = "to be Ready again before another server is disturbed";
    let seen = format!("it is not, since {} disturbed it", down.case);
    let reason = Reason::new(format!("server {}", down.server), expected, seen);
    Verdict::blocked(down.case.to_string(), reason.hint("nothing was disturbed here; repair it first"))
}

fn defect(seen: String) -> Verdict {
    let hint = "report this with the command line that you used";
    Verdict::error(Reason::new("the harness", "no defect of its own", seen).hint(hint))
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default()
}
