//! Runs operations in a container over the websocket of the exec subresource, several in one request.
//!
//! A loop of our own on `Client::connect`: in kube 5.0.0, the readers of `Api::exec` hang when the connection breaks.
//! Protocol: channels 1 stdout, 2 stderr, 3 the final Status, as in Kubernetes' `remotecommand` package, version 5.

use std::time::Duration;

use futures::StreamExt;
use kube::api::AttachParams;
use kube::core::{Request, Status};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::batch::{FAILED, encode, parts};
use super::operation::Operation;
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, within};
use crate::random;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Longer output is cut off: no operation of the program needs more.
const MAX_OUTPUT: usize = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    /// It ran, but its output was lost on the way.
    Lost,
    /// It did not run, or its end is unknown: never a success.
    Unknown(String),
}

#[derive(Debug, Clone)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: End,
    pub sent: Instant,
    pub ended: Instant,
}

type Outputs = Result<Vec<Output>, ApiError>;

impl Output {
    /// Whether it exited without being killed. After a signal, the exit code is 128 plus its number; probably the container
    /// was stopped.
    pub fn exited_normally(&self) -> bool {
        matches!(self.end, End::Exited(..=128))
    }

    /// What went wrong, in one line; `None` for exit code 0.
    pub fn problem(&self) -> Option<String> {
        let stderr = String::from_utf8_lossy(&self.stderr);
        let stderr = stderr.trim();
        match &self.end {
            End::Exited(0) => None,
            End::Exited(code) if stderr.is_empty() => Some(format!("exit code {code}")),
            End::Exited(code) => Some(format!("exit code {code}: {stderr}")),
            End::Lost => Some("the command's output was lost".to_owned()),
            End::Unknown(why) => Some(why.clone()),
        }
    }
}

impl Cluster {
    /// Runs operations in a container, one after the other in one shell, and returns an output for each. After a failed
    /// operation, the later ones still run; a failure is not an error of this call. The container must have started.
    pub async fn exec(&self, pod: &str, container: &str, operations: &[Operation]) -> Outputs {
        let ask = |timeout| self.exec_within(pod, container, operations, timeout);
        self.concurrency.run(pod, Operation::work(operations), ask).await
    }

    /// Repeats operations whose output was lost, if they are repeatable: on a node short of CPU, containerd's shim drops
    /// whatever it has not read 2 s after a command's end.
    async fn exec_within(&self, pod: &str, container: &str, operations: &[Operation], timeout: Duration) -> Outputs {
        let deadline = Instant::now() + timeout;
        let mut outputs = self.exec_once(pod, container, operations, timeout).await?;
        // After a removal, operations before it would not return the same.
        let from = operations.iter().rposition(Operation::is_removal).map_or(0, |last| last + 1);
        let is_lost = |at: &usize| outputs[*at].end == End::Lost && operations[*at].is_repeatable();
        let lost: Vec<usize> = (from..operations.len()).filter(is_lost).collect();
        if !lost.is_empty() {
            let again: Vec<_> = lost.iter().map(|at| operations[*at].clone()).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            // If this fails, the other outputs still count.
            let repeated = self.exec_once(pod, container, &again, left).await.unwrap_or_default();
            lost.into_iter().zip(repeated).for_each(|(at, output)| outputs[at] = output);
        }
        Ok(outputs)
    }

    async fn exec_once(&self, pod: &str, container: &str, operations: &[Operation], timeout: Duration) -> Outputs {
        // Random, because outputs may contain any file.
        let mark = random::text(16);
        let params = AttachParams::default().container(container).stdout(true).stderr(true).stdin(false);
        let request = Request::new(format!("/api/v1/namespaces/{}/pods", self.namespace()))
            .exec(pod, encode(operations, &mark), &params)
            .map_err(|error| ApiError::new("get", "pods/exec", kube::Error::BuildRequest(error)))?;
        let sent = Instant::now();
        let deadline = sent + timeout;
        let mut stream = within(timeout, "get", "pods/exec", self.client.connect(request)).await?.into_stream();
        let (mut stdout, mut stderr, mut status) = (Vec::new(), Vec::new(), None);
        // Output may follow the status, because the API server copies each channel separately. Only the close ends it.
        let closed = loop {
            match tokio::time::timeout_at(deadline, stream.next()).await {
                Err(_) => break format!("the command did not finish within {} s", timeout.as_secs()),
                Ok(None | Some(Ok(Message::Close(_)))) => break "the connection closed without a status".to_owned(),
                Ok(Some(Err(error))) => break format!("the connection broke: {error}"),
                Ok(Some(Ok(Message::Binary(frame)))) => match frame.split_first() {
                    Some((&STDOUT, data)) => keep(&mut stdout, data),
                    Some((&STDERR, data)) => keep(&mut stderr, data),
                    Some((&STATUS, data)) if !data.is_empty() => status = Some(end(data)),
                    _ => {}
                },
                Ok(Some(Ok(_))) => {}
            }
        };
        let ended = Instant::now();
        let without_output = |operation: &Operation| match &status {
            Some(End::Exited(0)) if operation.has_no_output() => End::Exited(0),
            Some(End::Exited(0 | FAILED)) => End::Lost,
            Some(End::Exited(code)) => End::Unknown(format!("the shell exited with code {code}")),
            Some(End::Unknown(why)) => End::Unknown(why.clone()),
            Some(End::Lost) | None => End::Unknown(closed.clone()),
        };
        let mut parts = parts(&stdout, &mark).zip(parts(&stderr, &mark));
        Ok(operations
            .iter()
            .map(|operation| match parts.next() {
                Some(((stdout, Some(code)), (stderr, _))) => {
                    Output { stdout: stdout.to_owned(), stderr: stderr.to_owned(), end: End::Exited(code), sent, ended }
                }
                _ => Output { stdout: Vec::new(), stderr: Vec::new(), end: without_output(operation), sent, ended },
            })
            .collect())
    }
}

fn keep(output: &mut Vec<u8>, data: &[u8]) {
    let room = MAX_OUTPUT.saturating_sub(output.len());
    output.extend_from_slice(&data[..data.len().min(room)]);
}

fn end(data: &[u8]) -> End {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else {
        return End::Unknown(format!("invalid status: {}", String::from_utf8_lossy(data)));
    };
    if value["status"] == "Success" {
        return End::Exited(0);
    }
    let status: Status = serde_json::from_value(value).unwrap_or_default();
    let code = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .find(|cause| cause.reason == "ExitCode")
        .and_then(|cause| cause.message.parse().ok());
    code.map_or(End::Unknown(status.message), End::Exited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_has_an_exit_code() {
        assert_eq!(end(br#"{"status":"Success"}"#), End::Exited(0));
        let failure = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"23"}]}}"#;
        assert_eq!(end(failure), End::Exited(23));
        assert_eq!(
            end(br#"{"status":"Failure","message":"no such container"}"#),
            End::Unknown("no such container".into())
        );
        assert!(matches!(end(b"nonsense"), End::Unknown(_)));
    }
}
