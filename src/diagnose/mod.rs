//! Diagnoses each server with a failed test: once, while other tests run, and before the cleanup. Only reads. Imports `check`
//! (for what tests share), `cluster` and `event`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::check::{Shared, Site};
use crate::cluster::ApiError;
use crate::event::{Diagnosis, Event, Outcome};

mod gather;

/// The time limit of the first request, which shows whether the API server answers.
const PROBE: Duration = Duration::from_secs(5);
/// How long the run waits for pending diagnoses after its last test.
const LAST: Duration = Duration::from_secs(10);

pub struct Diagnoses {
    shared: Arc<Shared>,
    begun: Mutex<(BTreeSet<String>, JoinSet<()>)>,
    /// Set once the API server has not answered, so that not every diagnosis waits for it.
    is_down: Arc<tokio::sync::Mutex<bool>>,
}

impl Diagnoses {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, begun: Mutex::default(), is_down: Arc::default() }
    }

    pub fn begin(&self, site: &Site, outcome: Outcome) {
        let (Outcome::Fail | Outcome::Error, Some(server)) = (outcome, site.id.server.clone()) else { return };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !begun.0.insert(server.clone()) {
            return;
        }
        // Taken now, before the cleanup changes it.
        let snapshot = self.shared.watch.snapshot();
        let (shared, select, is_down) = (Arc::clone(&self.shared), site.system.pods.clone(), Arc::clone(&self.is_down));
        begun.1.spawn(async move {
            if !answers(&shared, &is_down).await {
                return;
            }
            let sections = gather::gather(&shared, snapshot.as_ref(), &select, &server).await;
            shared.emit(Event::Diagnosed(Diagnosis { server, sections }));
        });
    }

    pub async fn finish(&self) {
        let mut tasks = std::mem::take(&mut self.begun.lock().unwrap_or_else(PoisonError::into_inner).1);
        let _ = timeout(LAST, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Whether the API server answers; sends no more requests once it did not.
async fn answers(shared: &Shared, is_down: &tokio::sync::Mutex<bool>) -> bool {
    let mut is_down = is_down.lock().await;
    if !*is_down {
        let answer = timeout(PROBE, shared.cluster.ping()).await;
        // A user without access to /version may have access to pods.
        *is_down = !matches!(answer, Ok(Ok(()) | Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. })));
    }
    !*is_down
}
