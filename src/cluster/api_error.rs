//! Why a request got no useful answer, in the words that a user needs: verb, resource, what to do.

use std::error::Error;
use std::time::Duration;

use kube::client::UpgradeConnectionError;

use super::tls;
use super::way::Trouble;

/// Where a Role is that suffices.
const ROLE: &str = "; docs/rbac.yaml has all that the suites need";

/// A request that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// 403: the user lacks a permission.
    #[error("no permission to {verb} {resource}: {message}")]
    Forbidden {
        /// The verb that RBAC must allow.
        verb: &'static str,
        /// The resource, with its subresource.
        resource: &'static str,
        /// What the API server said.
        message: String,
    },
    /// 401: the credentials are not accepted.
    #[error("the cluster does not accept the credentials (401) for {verb} {resource}: {message}")]
    Unauthorized {
        /// The verb that was tried.
        verb: &'static str,
        /// The resource, with its subresource.
        resource: &'static str,
        /// What the API server said.
        message: String,
    },
    /// 404: the object is not there.
    #[error("not found: {message}")]
    NotFound {
        /// What the API server said.
        message: String,
    },
    /// No answer within the time allowed.
    #[error("no answer to {verb} {resource} within {}s", waited.as_secs())]
    Silent {
        /// The verb that was tried.
        verb: &'static str,
        /// The resource, with its subresource.
        resource: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// Something on the way to the API server, with the verb and the resource.
    #[error("{0} {1} failed: {2}")]
    OnTheWay(&'static str, &'static str, Trouble),
    /// The namespace of that name is being deleted, as its conditions say.
    #[error("the namespace `{0}` is being deleted{1}")]
    Ending(String, String),
    /// Any other failure: refused connection, broken TLS, an error status.
    #[error("{verb} {resource} failed: {message}")]
    Failed {
        /// The verb that was tried.
        verb: &'static str,
        /// The resource, with its subresource.
        resource: &'static str,
        /// The chain of causes.
        message: String,
    },
}

impl ApiError {
    /// Classifies what `kube` reported.
    pub(super) fn new(verb: &'static str, resource: &'static str, error: kube::Error) -> Self {
        let trouble = match &error {
            // After it was let through, the connection broke.
            kube::Error::UpgradeConnection(UpgradeConnectionError::GetPendingUpgrade(_)) => None,
            kube::Error::UpgradeConnection(error) => Some(Trouble::NoWebsocket(error.to_string())),
            kube::Error::Service(error) => error.downcast_ref().cloned(),
            _ => None,
        };
        if let Some(trouble) = trouble.or_else(|| tls::fault(&error).map(Trouble::Tls)) {
            return Self::OnTheWay(verb, resource, trouble);
        }
        let kube::Error::Api(status) = error else {
            return Self::Failed { verb, resource, message: chain(&error) };
        };
        let message = status.message.clone();
        match status.code {
            401 => Self::Unauthorized { verb, resource, message },
            403 => Self::Forbidden { verb, resource, message },
            404 => Self::NotFound { message },
            code => Self::Failed { verb, resource, message: format!("{message} ({code})") },
        }
    }

    /// What the user can do about it.
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
            Self::OnTheWay(.., trouble) => trouble.hint().to_owned(),
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
