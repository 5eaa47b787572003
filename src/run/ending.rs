//! The end of a run: cleans up after the tests, within a time limit if the run was interrupted, and reports what is left.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::signal::Signals;
use super::{cleanup, recovery};
use crate::check::{Shared, TestFile};
use crate::cluster::{ApiError, Select};
use crate::event::{Event, Notice};

/// The time limit of the cleanup after an interrupt: longer than a healthy server takes to become Ready again, or to finish a
/// sync cycle.
const CLEANUP_LIMIT: Duration = Duration::from_secs(90);
const API_SERVER_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(500);

pub async fn finish_run(
    shared: &Shared,
    signals: &Signals,
    servers: &[(String, Select)],
    broken: &BTreeSet<String>,
) -> Vec<String> {
    let stopped = async {
        signals.requested(1).await;
        shared.emit(Event::Interrupted { cleanup_limit: CLEANUP_LIMIT });
        tokio::select! {
            () = signals.requested(2) => "the cleanup was skipped".to_owned(),
            () = sleep(CLEANUP_LIMIT) => format!("the cleanup did not finish within {} s", CLEANUP_LIMIT.as_secs()),
        }
    };
    tokio::select! {
        left = remove_all(shared, servers, broken) => left,
        why = stopped => {
            let mut left = left(shared, &why);
            if !broken.is_empty() {
                let servers = broken.iter().cloned().collect::<Vec<_>>().join(", ");
                left.push(format!("the host folders and exports of {servers} were not searched for files of {}", shared.run));
            }
            left
        }
    }
}

async fn remove_all(shared: &Shared, servers: &[(String, Select)], broken: &BTreeSet<String>) -> Vec<String> {
    if let Err(error) = wait_for_api_server(shared).await {
        return left(shared, &error.to_string());
    }
    let files = cleanup::remove(shared, |_| true).await;
    let strays = cleanup::remove_strays(shared, servers, !broken.is_empty()).await;
    for what in strays.removed {
        let text = format!("removed {what}: no test wrote it there");
        shared.emit(Event::Noticed(Notice { text, is_error: false }));
    }
    let files = files.iter().map(|(file, problem)| left_behind(file, problem));
    files.chain(strays.problems).collect()
}

async fn wait_for_api_server(shared: &Shared) -> Result<(), ApiError> {
    let deadline = Instant::now() + API_SERVER_LIMIT;
    let mut is_reported = false;
    loop {
        let Err(error) = shared.cluster.ping().await else { return Ok(()) };
        if !is_reported {
            let text = format!("the cleanup waited for the API server, which did not answer: {error}");
            shared.emit(Event::Noticed(Notice { text, is_error: false }));
            is_reported = true;
        }
        if timeout_at(deadline, sleep(POLL)).await.is_err() {
            return Err(error);
        }
    }
}

fn left(shared: &Shared, why: &str) -> Vec<String> {
    let files = shared.ledger.files(|_| true).into_iter().map(|file| left_behind(&file, why));
    files.chain(shared.disrupted().iter().map(|disrupted| recovery::not_ready(shared, disrupted, why))).collect()
}

fn left_behind(file: &TestFile, why: &str) -> String {
    format!("left behind: {file} ({why}); after 10 minutes, remove it with `sweep --yes`")
}
