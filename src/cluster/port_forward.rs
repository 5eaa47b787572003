//! A connection to a port of a pod, through the API server.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::DuplexStream;

use super::{ApiError, answered_within};

/// A connection to a port of a pod; it ends when dropped.
pub struct Forwarded {
    /// The connection. It ends too when the port does not take one, and then [`Self::trouble`] says why.
    pub stream: DuplexStream,
    trouble: BoxFuture<'static, Option<String>>,
}

impl Forwarded {
    /// Waits for the end of the connection: what the node says went wrong, if anything did.
    pub async fn trouble(self) -> Option<String> {
        self.trouble.await
    }
}

/// Connects to a port of a pod. Whether the pod takes the connection is known only afterwards.
pub(super) async fn forward(pods: Api<Pod>, pod: &str, port: u16, limit: Duration) -> Result<Forwarded, ApiError> {
    let (verb, resource) = ("get", "pods/portforward");
    let mut forwarder = answered_within(limit, verb, resource, pods.portforward(pod, &[port])).await?;
    let parts = forwarder.take_stream(port).zip(forwarder.take_error(port));
    let lost = || ApiError::Failed { verb, resource, message: "no connection was made".to_owned() };
    let (stream, trouble) = parts.ok_or_else(lost)?;
    Ok(Forwarded { stream, trouble: trouble.boxed() })
}
