//! A connection to a port of a pod, through the API server.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use super::api_error::ApiError;
use super::client::{Cluster, answered_within};
use super::concurrency::Work;

/// A connection to a port of a pod; it ends when dropped.
pub struct Forwarded {
    /// The connection. It ends too when the port does not take one, and then `trouble` says why.
    pub stream: DuplexStream,
    /// Waits for the end of the connection: what the node says went wrong, if anything did.
    pub trouble: BoxFuture<'static, Option<String>>,
}

impl Cluster {
    /// Connects to a port of a pod. Whether the pod takes the connection is known only afterwards.
    pub async fn forward(&self, pod: &str, port: u16) -> Result<Forwarded, ApiError> {
        let (verb, resource, pods, asked) = ("get", "pods/portforward", self.pods(), [port]);
        let ask = |limit| answered_within(limit, verb, resource, pods.portforward(pod, &asked));
        // It costs the node as much as a command does.
        let mut forwarder = self.concurrency.run(pod, Work::Slow, ask).await?;
        let parts = forwarder.take_stream(port).zip(forwarder.take_error(port));
        let lost = || ApiError::Failed { verb, resource, message: "no connection was made".to_owned() };
        let (stream, trouble) = parts.ok_or_else(lost)?;
        Ok(Forwarded { stream, trouble: trouble.boxed() })
    }
}
