//! Why a request got no useful answer, in the words that a user needs: verb, resource, what to do.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use kube::client::UpgradeConnectionError;
use tokio::time::error::Elapsed;

use super::deadline::CONNECT;
use super::transport::{self, TransportError};

const ROLE: &str = "; docs/rbac.yaml has all that the suites need";

/// How kube's client begins to say that the proxy itself cannot be reached.
pub(super) const UNDERLYING: &str = "failed to create underlying connection";

const DROPPED: &str = "look at the server's address in the kubeconfig, whether its machine runs, and whether a firewall or a VPN that \
                       is off drops what is sent there";

#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    #[error("no permission to {verb} {resource}: {message}")]
    Forbidden { verb: &'static str, resource: &'static str, message: String },
    #[error("the cluster does not accept the credentials (401) for {verb} {resource}: {message}")]
    Unauthorized { verb: &'static str, resource: &'static str, message: String },
    #[error("not found: {message}")]
    NotFound { message: String },
    #[error("no answer to {verb} {resource} within {}s", waited.as_secs())]
    Silent { verb: &'static str, resource: &'static str, waited: Duration },
    #[error("{0} {1} failed: {2}")]
    Transport(&'static str, &'static str, TransportError),
    /// The namespace of that name is being deleted, as its conditions say.
    #[error("the namespace `{0}` is being deleted{1}")]
    Ending(String, String),
    /// Any other failure: refused connection, broken TLS, an error status.
    #[error("{verb} {resource} failed: {message}")]
    Failed { verb: &'static str, resource: &'static str, message: String },
}

impl ApiError {
    pub(super) fn new(verb: &'static str, resource: &'static str, error: kube::Error) -> Self {
        let trouble = match &error {
            // After it was let through, the connection broke.
            kube::Error::UpgradeConnection(UpgradeConnectionError::GetPendingUpgrade(_)) => None,
            kube::Error::UpgradeConnection(error) => Some(TransportError::no_websocket(&error.to_string())),
            kube::Error::Service(error) => error.downcast_ref().cloned(),
            _ => None,
        };
        // Only the wait for a connection has a deadline of its own.
        let dropped = || {
            let what = format!("no connection was made within {} s, nor was one refused", CONNECT.as_secs());
            transport::cause::<Elapsed>(&error).map(|_| TransportError::new(what, DROPPED))
        };
        if let Some(trouble) = trouble.or_else(|| transport::fault(&error)).or_else(dropped) {
            return Self::Transport(verb, resource, trouble);
        }
        let kube::Error::Api(status) = error else {
            let message = chain(&error);
            let is_refused =
                transport::cause::<io::Error>(&error).is_some_and(|it| it.kind() == ErrorKind::ConnectionRefused);
            // What refuses a tunnel is the proxy, which is told of with the whole chain.
            let is_of_proxy = message.contains(UNDERLYING);
            let message = if is_refused && !is_of_proxy { "the connection was refused".to_owned() } else { message };
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
                format!("ask for a Role that allows `get` on `{resource}`, from Kubernetes 1.35 also `create`{ROLE}")
            }
            Self::Forbidden { verb, resource, .. } => {
                format!("ask for a Role that allows `{verb}` on `{resource}`{ROLE}")
            }
            Self::Unauthorized { .. } => "log in to the cluster again, or choose another --context".to_owned(),
            Self::NotFound { .. } => "look whether it was deleted meanwhile".to_owned(),
            Self::Transport(.., trouble) => trouble.hint.to_owned(),
            Self::Ending(..) => "remove what keeps it, and install the release anew when it is gone".to_owned(),
            Self::Silent { .. } | Self::Failed { .. } => {
                "look whether the cluster runs and is reachable from here: `kubectl --context=… get --raw /readyz`"
                    .to_owned()
            }
        }
    }
}

/// An error and its causes, each once, outermost first.
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
    async fn an_alert_and_a_connection_that_is_refused_or_not_made_are_told_in_words() {
        let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        for (error, said, hint) in [
            (io::Error::new(ErrorKind::TimedOut, elapsed), "no connection was made within 5 s", "a firewall"),
            (ErrorKind::ConnectionRefused.into(), "the connection was refused", "get --raw /readyz"),
            (
                io::Error::other(alert),
                "ended the connection by TLS, with its alert CertificateRequired",
                "client certificate",
            ),
        ] {
            let error = ApiError::new("get", "/version", kube::Error::Service(error.into()));
            assert!(
                error.to_string().starts_with("get /version failed: ") && error.to_string().contains(said),
                "{error}"
            );
            assert!(error.hint().contains(hint), "{}", error.hint());
        }
    }
}
