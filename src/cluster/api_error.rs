//! Why an API request failed: verb, resource, cause and hint.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use kube::client::UpgradeConnectionError;
use tokio::time::error::Elapsed;

use super::deadline::CONNECT;
use super::transport::{self, TransportError};

const ROLE: &str = "; docs/rbac.yaml lists every permission that the suites need";

/// The start of kube's error for an unreachable proxy.
pub(super) const PROXY_UNREACHABLE: &str = "failed to create underlying connection";

const DROPPED: &str = "check the server address in the kubeconfig, that its machine is running, and that neither a firewall nor a \
                       disconnected VPN drops the packets";

#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    #[error("no permission to {verb} {resource}: {message}")]
    Forbidden { verb: &'static str, resource: &'static str, message: String },
    #[error("the API server rejected the credentials for {verb} {resource} (401 Unauthorized): {message}")]
    Unauthorized { verb: &'static str, resource: &'static str, message: String },
    #[error("not found: {message}")]
    NotFound { message: String },
    #[error("{verb} {resource} failed: no reply within {} s", limit.as_secs())]
    NoReply { verb: &'static str, resource: &'static str, limit: Duration },
    #[error("{0} {1} failed: {2}")]
    Transport(&'static str, &'static str, TransportError),
    /// The namespace, and why its deletion has not finished.
    #[error("namespace `{0}` is being deleted{1}")]
    NamespaceTerminating(String, String),
    /// Any other failure, such as a refused connection or an error status.
    #[error("{verb} {resource} failed: {message}")]
    Failed { verb: &'static str, resource: &'static str, message: String },
}

impl ApiError {
    pub(super) fn new(verb: &'static str, resource: &'static str, error: kube::Error) -> Self {
        let known = match &error {
            // The upgrade succeeded, then the connection broke.
            kube::Error::UpgradeConnection(UpgradeConnectionError::GetPendingUpgrade(_)) => None,
            kube::Error::UpgradeConnection(error) => Some(TransportError::websocket_blocked(&error.to_string())),
            kube::Error::Service(error) => error.downcast_ref().cloned(),
            _ => None,
        };
        // Within kube, only connecting has a deadline.
        let dropped = || {
            let message = format!("connection timed out after {} s", CONNECT.as_secs());
            transport::cause::<Elapsed>(&error).map(|_| TransportError::new(message, DROPPED))
        };
        if let Some(known) = known.or_else(|| transport::tls_error(&error)).or_else(dropped) {
            return Self::Transport(verb, resource, known);
        }
        let kube::Error::Api(status) = error else {
            let message = chain(&error);
            let is_refused =
                transport::cause::<io::Error>(&error).is_some_and(|it| it.kind() == ErrorKind::ConnectionRefused);
            // A refused tunnel keeps the whole chain, which names the proxy as the cause.
            let is_of_proxy = message.contains(PROXY_UNREACHABLE);
            let message = if is_refused && !is_of_proxy { "connection refused".to_owned() } else { message };
            return Self::Failed { verb, resource, message };
        };
        let message = status.message.clone();
        match status.code {
            401 => Self::Unauthorized { verb, resource, message },
            403 => Self::Forbidden { verb, resource, message },
            404 => Self::NotFound { message },
            code => Self::Failed { verb, resource, message: format!("{message} ({code})") },
        }
    }

    pub fn hint(&self) -> String {
        match self {
            // Source: the release notes of Kubernetes 1.35 on websocket upgrades.
            Self::Forbidden { resource: resource @ ("pods/exec" | "pods/portforward"), .. } => {
                format!("ask for a Role that allows `get` (and since Kubernetes 1.35 `create`) on `{resource}`{ROLE}")
            }
            Self::Forbidden { verb, resource, .. } => {
                format!("ask for a Role that allows `{verb}` on `{resource}`{ROLE}")
            }
            Self::Unauthorized { .. } => "log in to the cluster again, or choose another --context".to_owned(),
            Self::NotFound { .. } => "check whether it was deleted during the run".to_owned(),
            Self::Transport(.., error) => error.hint.to_owned(),
            Self::NamespaceTerminating(..) => {
                "remove what blocks its deletion; once it is gone, install the release again".to_owned()
            }
            Self::NoReply { .. } | Self::Failed { .. } => {
                "check that the cluster is running and reachable from here".to_owned()
            }
        }
    }
}

/// An error and its causes, outermost first, without repetitions.
fn chain(error: &kube::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        cause = inner.source();
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{self, AlertDescription};

    use super::*;

    #[tokio::test]
    async fn tls_alerts_and_failed_connections_have_plain_messages_and_hints() {
        let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        for (error, message, hint) in [
            (io::Error::new(ErrorKind::TimedOut, elapsed), "connection timed out after 5 s", "a firewall"),
            (ErrorKind::ConnectionRefused.into(), "connection refused", "reachable from here"),
            (io::Error::other(alert), "with TLS alert CertificateRequired", "client certificate"),
        ] {
            let error = ApiError::new("get", "/version", kube::Error::Service(error.into()));
            assert!(
                error.to_string().starts_with("get /version failed: ") && error.to_string().contains(message),
                "{error}"
            );
            assert!(error.hint().contains(hint), "{}", error.hint());
        }
    }
}
