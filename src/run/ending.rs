//! The end of a run: tidies up what tests left, wherever they got to; within a bound once the run was interrupted. What is
//! left is said.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::signal::Signals;
use super::{recovery, tidy};
use crate::check::{Placed, Shared};
use crate::cluster::{ApiError, Select};
use crate::event::{Event, Notice};

/// How long tidying up goes on after an interrupt: longer than a healthy server takes to be Ready again, or to come to a
/// moment between two sync cycles.
const BOUND: Duration = Duration::from_secs(90);
/// How long an API server that does not answer is waited for.
const AWAY: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Tidies up; returns what is left, in a notice each.
pub async fn tidy_up(
    shared: &Shared,
    signals: &Signals,
    servers: &[(String, Select)],
    broken: &BTreeSet<String>,
) -> Vec<String> {
    let given_up = async {
        signals.asked(1).await;
        shared.emit(Event::Interrupted { tidying: BOUND });
        tokio::select! {
            () = signals.asked(2) => "tidying up was skipped".to_owned(),
            () = sleep(BOUND) => format!("tidying up was not done within {}s", BOUND.as_secs()),
        }
    };
    tokio::select! {
        left = tidied(shared, servers, broken) => left,
        why = given_up => {
            let mut left = left(shared, &why);
            if !broken.is_empty() {
                let servers = broken.iter().cloned().collect::<Vec<_>>().join(", ");
                let files = format!("perhaps copies of files of {}", shared.run);
                left.push(format!("{files} in the folders and exports of {servers}: they were not looked for"));
            }
            left
        }
    }
}

async fn tidied(shared: &Shared, servers: &[(String, Select)], broken: &BTreeSet<String>) -> Vec<String> {
    if let Err(error) = answers(shared).await {
        return left(shared, &error.to_string());
    }
    let files = tidy::remove(shared, |_| true).await;
    let found = tidy::sweep(shared, servers, !broken.is_empty()).await;
    for what in found.removed {
        let text = format!("removed {what}, into which it had been copied");
        shared.emit(Event::Noticed(Notice { text, is_error: false }));
    }
    let files = files.iter().map(|(placed, problem)| left_behind(placed, problem));
    files.chain(found.problems.into_iter().map(|what| format!("left behind: {what}; remove it by hand"))).collect()
}

/// Waits for an API server that does not answer, and says so.
async fn answers(shared: &Shared) -> Result<(), ApiError> {
    let limit = Instant::now() + AWAY;
    let mut is_told = false;
    loop {
        let Err(error) = shared.cluster.ping().await else { return Ok(()) };
        if !is_told {
            let text = format!("the API server did not answer when files were to be removed ({error}): waited for it");
            shared.emit(Event::Noticed(Notice { text, is_error: false }));
            is_told = true;
        }
        if timeout_at(limit, sleep(PAUSE)).await.is_err() {
            return Err(error);
        }
    }
}

fn left(shared: &Shared, why: &str) -> Vec<String> {
    let files = shared.ledger.placed(|_| true).into_iter().map(|placed| left_behind(&placed, why));
    files.chain(shared.disrupted().iter().map(|disrupted| recovery::not_ready(shared, disrupted, why))).collect()
}

fn left_behind(placed: &Placed, why: &str) -> String {
    format!("left behind: {placed} ({why}); remove it by hand")
}
