//! Runs commands in containers. Combines simultaneous ones into one request, because a request costs the cluster more
//! than most commands (measured: 37 ms of CPU for `true`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join_all;
use tokio::sync::{RwLock, oneshot};

use crate::cluster::{ApiError, Cluster, Operation, Output, Work};

/// How long the first operation waits for others to share its request.
const GATHERING: Duration = Duration::from_millis(10);
/// Maximum number of operations in a request, to keep its URL short.
const MAX_OPERATIONS: usize = 8;

#[derive(Default)]
pub struct Commands {
    /// By server: locked while a command runs, even after its test was aborted.
    running: Mutex<HashMap<String, Arc<RwLock<()>>>>,
    /// Operations that wait for the queue's running request; without one, the queue has no entry.
    waiting: Mutex<HashMap<Queue, Vec<Waiting>>>,
}

/// A pod, a container and the type of work: removals have their own queue, so they do not wait for other commands.
type Queue = (String, String, Work);

type Waiting = (Operation, oneshot::Sender<Result<Output, ApiError>>);

impl Commands {
    /// Runs operations in a container of a server's pod, in order. Started operations finish even if the caller is
    /// dropped, so that [`ended`](Self::ended) can wait for them.
    pub async fn run(
        self: &Arc<Self>,
        cluster: &Cluster,
        server: &str,
        place: [String; 2],
        operations: Vec<Operation>,
    ) -> Result<Vec<Output>, ApiError> {
        let (commands, cluster) = (Arc::clone(self), cluster.clone());
        let work = Operation::work(&operations);
        let [pod, container] = place;
        let queue = (pod, container, work);
        // A removal takes no lock: it may run after `ended`, and must not wait behind callers of it.
        let guard = if work == Work::Removal { None } else { Some(self.of(server).read_owned().await) };
        let (waiting, outputs): (Vec<Waiting>, Vec<_>) = operations
            .into_iter()
            .map(|operation| {
                let (sender, output) = oneshot::channel();
                ((operation, sender), output)
            })
            .unzip();
        if work == Work::Slow {
            let work = async move {
                let _guard = guard;
                execute(&cluster, &queue, waiting, None).await;
            };
            tokio::spawn(work.boxed());
        } else if self.join(&queue, waiting) {
            let work = async move {
                let _guard = guard;
                tokio::time::sleep(GATHERING).await;
                let mut timed_out = None;
                while let Some(next) = commands.take(&queue) {
                    timed_out = execute(&cluster, &queue, next, timed_out).await;
                }
            };
            tokio::spawn(work.boxed());
        }
        let lost =
            || ApiError::Failed { verb: "get", resource: "pods/exec", message: "the command was lost".to_owned() };
        let outputs = outputs.into_iter().map(|output| async { output.await.unwrap_or_else(|_| Err(lost())) });
        try_join_all(outputs).await
    }

    /// Waits until no command runs in the server's containers, so that none writes files after their removal.
    pub async fn ended(&self, server: &str) {
        drop(self.of(server).write_owned().await);
    }

    fn of(&self, server: &str) -> Arc<RwLock<()>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(running.entry(server.to_owned()).or_default())
    }

    /// Queues operations; `true` if the caller must start a task that runs the queue.
    fn join(&self, queue: &Queue, operations: Vec<Waiting>) -> bool {
        let mut waiting = self.waiting();
        let is_first = !waiting.contains_key(queue);
        waiting.entry(queue.clone()).or_default().extend(operations);
        is_first
    }

    /// The next operations whose callers still wait; `None` ends the queue.
    fn take(&self, queue: &Queue) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting();
        let operations = waiting.entry(queue.clone()).or_default();
        operations.retain(|(_, sender)| !sender.is_closed());
        let next: Vec<_> = operations.drain(..operations.len().min(MAX_OPERATIONS)).collect();
        if next.is_empty() {
            waiting.remove(queue);
            return None;
        }
        Some(next)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Queue, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs operations in one request and sends the outputs to their callers. Returns the error if the request timed out:
/// operations queued behind it get the same error, so that they do not time out one after the other.
async fn execute(
    cluster: &Cluster,
    (pod, container, _): &Queue,
    waiting: Vec<Waiting>,
    timed_out: Option<ApiError>,
) -> Option<ApiError> {
    let (operations, senders): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    let outputs = match timed_out {
        Some(error) => Err(error),
        None => cluster.exec(pod, container, &operations).await,
    };
    let timed_out = outputs.as_ref().err().filter(|error| matches!(error, ApiError::NoReply { .. })).cloned();
    let results = match outputs {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); senders.len()],
    };
    for (sender, output) in senders.into_iter().zip(results) {
        // Fails if the test was aborted.
        let _ = sender.send(output);
    }
    timed_out
}
