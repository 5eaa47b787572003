//! The harness's commands in containers: those that are asked for together go in one request, because each request
//! costs the cluster more than what is done in it (measured: 37 ms of CPU for `true`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::try_join_all;
use tokio::sync::{RwLock, oneshot};

use crate::cluster::{ApiError, Cluster, Operation, Output, Work};

/// Whoever asks within this time comes along.
const GATHER: Duration = Duration::from_millis(10);
/// How many operations go in one request at the most, so that its address stays short.
const MOST: usize = 8;

/// Commands that run or wait in the containers of the servers.
#[derive(Default)]
pub struct Commands {
    /// By server: held while a command runs, also when the test that wanted it is gone.
    running: Mutex<HashMap<String, Arc<RwLock<()>>>>,
    /// By queue: what waits for the request before it to end; absent if none runs.
    waiting: Mutex<HashMap<Queue, Vec<Waiting>>>,
}

/// A pod, a container, and what waits there: removals have a queue of their own, and so wait for nothing else.
type Queue = (String, String, Work);

type Waiting = (Operation, oneshot::Sender<Result<Output, ApiError>>);

impl Commands {
    /// Does operations in a container of a server's pod, in their order. What has begun is done also if nobody waits for it any
    /// more: so no command is left of which nobody knows whether it ran.
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
        // Nobody has to wait for a removal, which must not wait for whoever waits for the others.
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
                tokio::time::sleep(GATHER).await;
                let mut silence = None;
                while let Some(next) = commands.take(&queue) {
                    silence = execute(&cluster, &queue, next, silence).await;
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
    fn join(&self, queue: &Queue, operations: Vec<Waiting>) -> bool {
        let mut waiting = self.waiting();
        let is_first = !waiting.contains_key(queue);
        waiting.entry(queue.clone()).or_default().extend(operations);
        is_first
    }

    /// The next operations that somebody still waits for; `None` when there are none, and then nobody does what is queued any
    /// more.
    fn take(&self, queue: &Queue) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting();
        let operations = waiting.entry(queue.clone()).or_default();
        operations.retain(|(_, sender)| !sender.is_closed());
        let next: Vec<_> = operations.drain(..operations.len().min(MOST)).collect();
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

/// Does operations in one request and tells each who wants to know. Returns the error if there was no answer: whoever waited
/// behind such a request is told the same, and does not wait as long again, one after the other.
async fn execute(
    cluster: &Cluster,
    (pod, container, _): &Queue,
    waiting: Vec<Waiting>,
    silence: Option<ApiError>,
) -> Option<ApiError> {
    let (operations, senders): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
    let outputs = match silence {
        Some(error) => Err(error),
        None => cluster.exec(pod, container, &operations).await,
    };
    let silence = outputs.as_ref().err().filter(|error| matches!(error, ApiError::Silent { .. })).cloned();
    let told = match outputs {
        Ok(outputs) => outputs.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); senders.len()],
    };
    for (sender, output) in senders.into_iter().zip(told) {
        // Nobody waits any more: the test was given up.
        let _ = sender.send(output);
    }
    silence
}
