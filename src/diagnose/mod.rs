//! What is known of a server whose test went wrong: looked at once, while the other tests run, and before anything is
//! tidied up. Reads only. Imports `check` (for what tests share), `cluster` and `event`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::check::{Shared, Site};
use crate::cluster::ApiError;
use crate::event::{Diagnosis, Event, Outcome};

mod gather;

/// How long the API server has to answer before it is asked anything else.
const PROBE: Duration = Duration::from_secs(5);
/// How long the run waits for what is still being looked at when its last test has ended.
const LAST: Duration = Duration::from_secs(10);

/// Looks at each server whose test goes wrong, once.
pub struct Diagnoses {
    shared: Arc<Shared>,
    begun: Mutex<(BTreeSet<String>, JoinSet<()>)>,
    /// Whether the API server did not answer when the first server was to be looked at: it is not asked for each of them.
    is_out: Arc<tokio::sync::Mutex<bool>>,
}

impl Diagnoses {
    /// For a run in which nothing went wrong yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, begun: Mutex::default(), is_out: Arc::default() }
    }

    /// Begins to look at the server of a test that went wrong, unless that was done.
    pub fn begin(&self, site: &Site, outcome: Outcome) {
        let (Outcome::Fail | Outcome::Error, Some(server)) = (outcome, site.id.server.clone()) else { return };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !begun.0.insert(server.clone()) {
            return;
        }
        // As it is now, before tidying up changes it.
        let population = self.shared.watch.population();
        let (shared, select, is_out) = (Arc::clone(&self.shared), site.system.pods.clone(), Arc::clone(&self.is_out));
        begun.1.spawn(async move {
            if !answers(&shared, &is_out).await {
                return;
            }
            let sections = gather::gather(&shared, population.as_ref(), &select, &server).await;
            shared.emit(Event::Diagnosed(Diagnosis { server, sections }));
        });
    }

    /// Waits until all was looked at, but not for long.
    pub async fn ended(&self) {
        let mut tasks = std::mem::take(&mut self.begun.lock().unwrap_or_else(PoisonError::into_inner).1);
        let _ = timeout(LAST, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Whether the API server answers; once it does not, it is not asked again.
async fn answers(shared: &Shared, is_out: &tokio::sync::Mutex<bool>) -> bool {
    let mut is_out = is_out.lock().await;
    if !*is_out {
        let answer = timeout(PROBE, shared.cluster.ping()).await;
        // Who may not ask for the version may perhaps ask for the rest.
        *is_out = !matches!(answer, Ok(Ok(()) | Err(ApiError::Forbidden { .. } | ApiError::NotFound { .. })));
    }
    !*is_out
}
