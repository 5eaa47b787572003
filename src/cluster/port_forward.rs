//! Port-forwards through the API server.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use super::api_error::ApiError;
use super::client::{Cluster, within};
use super::concurrency::Work;

/// A connection to a port of a pod; closes when dropped.
pub struct PortForward {
    /// Ends at once if the port refuses the connection; `error` then has the reason.
    pub stream: DuplexStream,
    /// Resolves when the connection ends: the node's error, if there was one.
    pub error: BoxFuture<'static, Option<String>>,
}

impl Cluster {
    /// Connects to a port of a pod. Succeeds even if the port then refuses the connection.
    pub async fn port_forward(&self, pod: &str, port: u16) -> Result<PortForward, ApiError> {
        let (verb, resource, pods, ports) = ("get", "pods/portforward", self.pods(), [port]);
        let ask = |limit| within(limit, verb, resource, pods.portforward(pod, &ports));
        // A port-forward costs the node as much as a command.
        let mut forwarder = self.concurrency.run(pod, Work::Slow, ask).await?;
        let streams = forwarder.take_stream(port).zip(forwarder.take_error(port));
        let no_stream = || ApiError::Failed { verb, resource, message: "no stream was opened".to_owned() };
        let (stream, error) = streams.ok_or_else(no_stream)?;
        Ok(PortForward { stream, error: error.boxed() })
    }
}
