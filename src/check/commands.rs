//! The harness's commands in containers: those that are asked for together go in one request, because each request
//! costs the cluster more than what is done in it (measured: 37 ms of CPU for `true`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join_all;
use tokio::sync::{RwLock, oneshot};

use crate::cluster::{ApiError, Cluster, Operation, Output};

/// Whoever asks within this time comes along.
const GATHER: Duration = Duration::from_millis(10);
/// How many operations go in one request at the most, so that its address stays short.
const MOST: usize = 8;

/// Commands that run or wait in the containers of the servers.
#[derive(Default)]
pub struct Commands {
    /// By server: held while a command runs, also when the test that wanted it is gone.
    running: Mutex<HashMap<String, Arc<RwLock<()>>>>,
    /// By pod and container: what waits for the request before it to end; absent if none runs.
    waiting: Mutex<HashMap<[String; 2], Vec<Waiting>>>,
}

/// An operation, and who wants to know its output.
type Waiting = (Operation, oneshot::Sender<Result<Output, ApiError>>);

impl Commands {
    /// Does operations in a container of a server's pod, in their order. They are done also if nobody waits for them any
    /// more: so no command is left of which nobody knows whether it ran.
    pub async fn run(
        self: &Arc<Self>,
        cluster: &Cluster,
        server: &str,
        place: [String; 2],
        operations: Vec<Operation>,
    ) -> Result<Vec<Output>, ApiError> {
        let guard = self.of(server).read_owned().await;
        let (commands, cluster) = (Arc::clone(self), cluster.clone());
        let is_slow = operations.iter().any(Operation::is_slow);
        let (waiting, outputs): (Vec<Waiting>, Vec<_>) = operations
            .into_iter()
            .map(|operation| {
                let (sender, output) = oneshot::channel();
                ((operation, sender), output)
            })
            .unzip();
        if is_slow {
            let work = async move {
                let _guard = guard;
                execute(&cluster, &place, waiting).await;
            };
            tokio::spawn(work.boxed());
        } else if self.join(&place, waiting) {
            let work = async move {
                let _guard = guard;
                tokio::time::sleep(GATHER).await;
                let mut silence = None;
                while let Some(next) = commands.take(&place) {
                    // Whoever waited behind a request without an answer would wait as long again, one after the other.
                    silence = match silence {
                        Some(error) => Some(refuse(next, error)),
                        None => execute(&cluster, &place, next).await,
                    };
                }
            };
            tokio::spawn(work.boxed());
        }
        let lost =
            || ApiError::Failed { verb: "get", resource: "pods/exec", message: "the command was lost".to_owned() };
        let outputs = outputs.into_iter().map(|output| async { output.await.unwrap_or_else(|_| Err(lost())) });
        try_join_all(outputs).await
    }

    /// Waits until no command runs in the server's containers, so that nothing is written behind a removal.
    pub async fn ended(&self, server: &str) {
        drop(self.of(server).write_owned().await);
    }

    fn of(&self, server: &str) -> Arc<RwLock<()>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(running.entry(server.to_owned()).or_default())
    }

    /// Queues operations; `true` if nobody is there yet who does what is queued.
    fn join(&self, place: &[String; 2], operations: Vec<Waiting>) -> bool {
        let mut waiting = self.waiting();
        let is_first = !waiting.contains_key(place);
        waiting.entry(place.clone()).or_default().extend(operations);
        is_first
    }

    /// The next operations; `None` when there are none, and then nobody does what is queued any more.
    fn take(&self, place: &[String; 2]) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting();
        let queue = waiting.get_mut(place).filter(|queue| !queue.is_empty());
        let Some(queue) = queue else {
            waiting.remove(place);
            return None;
        };
        let count = queue.len().min(MOST);
        Some(queue.drain(..count).collect())
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<[String; 2], Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does operations in one request and tells each who wants to know; returns the error if there was no answer.
async fn execute(cluster: &Cluster, [pod, container]: &[String; 2], waiting: Vec<Waiting>) -> Option<ApiError> {
    let (operations, senders): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    let outputs = match cluster.exec(pod, container, &operations).await {
        Ok(outputs) => outputs,
        Err(error) => {
            let waiting = operations.into_iter().zip(senders).collect();
            return Some(refuse(waiting, error)).filter(|error| matches!(error, ApiError::Silent { .. }));
        }
    };
    for (sender, output) in senders.into_iter().zip(outputs) {
        // Nobody waits any more: the test was given up.
        let _ = sender.send(Ok(output));
    }
    None
}

/// Tells each who wants to know why its operation was not done.
fn refuse(waiting: Vec<Waiting>, error: ApiError) -> ApiError {
    for (_, sender) in waiting {
        let _ = sender.send(Err(error.clone()));
    }
    error
}
