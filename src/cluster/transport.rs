//! Errors below the Kubernetes API: a bad certificate, TLS on one side only, a reply from something else.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{self, CertificateError, InvalidMessage};

const CLOCK: &str = "if this machine's clock is wrong, set it; otherwise renew the server's certificate";
const NAME: &str =
    "in the kubeconfig's cluster, set `server` or `tls-server-name` to a name that the certificate is valid for";
const TRUST: &str = "if the cluster was recreated, generate the kubeconfig again; `certificate-authority` must be the certificate of \
                     the authority that signed the server's certificate, not the server's certificate itself";
const ISSUE: &str = "issue the server its own certificate: `openssl req -x509 -CA ca.crt -CAkey ca.key -newkey rsa:2048 -nodes \
                     -keyout server.key -out server.crt -subj /CN=HOST -addext basicConstraints=critical,CA:FALSE \
                     -addext subjectAltName=DNS:HOST`";
const HTTP: &str =
    "if the server does not use TLS, start its URL in the kubeconfig with http://; otherwise check the port";
const ALERT: &str = "give the kubeconfig's user the client certificate that the server requires; if it requires none, read the \
                     server's log and check that it supports TLS 1.2 or 1.3";
const HTTPS: &str = "start the server's URL in the kubeconfig with https://, or check the port";

/// Why no reply came from the API server itself, with a hint.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    pub(super) message: String,
    pub(super) hint: &'static str,
    /// Whether none of the trusted authorities signed the certificate.
    pub(super) is_unknown_authority: bool,
}

impl TransportError {
    pub(super) fn new(message: impl Into<String>, hint: &'static str) -> Self {
        Self { message: message.into(), hint, is_unknown_authority: false }
    }

    pub(super) fn not_kubernetes(reply: &str) -> Self {
        let message = format!("the reply does not come from a Kubernetes API server: {reply}");
        Self::new(
            message,
            "check the server's URL in the kubeconfig, the proxy and the VPN; at a login page, log in first",
        )
    }

    pub(super) fn websocket_blocked(reply: &str) -> Self {
        let message = format!("a proxy or gateway blocks websockets to the API server: {reply}");
        Self::new(message, "allow websockets there; `kubectl exec` is no proof that they work: it falls back to SPDY")
    }

    pub(super) fn tls_required() -> Self {
        Self::new("the server does not speak plain HTTP", HTTPS)
    }
}

/// What is wrong with TLS, if TLS is the cause.
pub(super) fn tls_error(error: &(dyn Error + 'static)) -> Option<TransportError> {
    if let Some(error) = cause::<rustls::Error>(error) {
        return Some(match error {
            rustls::Error::InvalidCertificate(error) => certificate_error(error),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                TransportError::new("the server does not speak TLS", HTTP)
            }
            rustls::Error::AlertReceived(alert) => {
                TransportError::new(format!("the server closed the connection with TLS alert {alert:?}"), ALERT)
            }
            _ => return None,
        });
    }
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse).then(TransportError::tls_required)
}

fn certificate_error(error: &CertificateError) -> TransportError {
    // A recreated authority has the same name and another key, so its signature looks bad.
    let is_unknown_authority = matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature);
    let (problem, hint) = match error {
        CertificateError::ExpiredContext { time, not_after } => {
            (format!("expired at {}; this machine's clock shows {}", shown(*not_after), shown(*time)), CLOCK)
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let [from, now] = [*not_before, *time].map(shown);
            (format!("is not valid before {from}; this machine's clock shows {now}"), CLOCK)
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().map(|name| without_kind(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name" } else { &names };
            (format!("is valid for {names}, not for {}", expected.to_str()), NAME)
        }
        _ if is_unknown_authority => ("was signed by an unknown authority".to_owned(), TRUST),
        CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
            ("is a CA certificate, which a server must not use (kubectl accepts it)".to_owned(), ISSUE)
        }
        other => (format!("was rejected: {other}"), "have it reissued"),
    };
    TransportError { is_unknown_authority, ..TransportError::new(format!("the server's certificate {problem}"), hint) }
}

/// The name in a text such as `DnsName("x")`.
fn without_kind(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')')).trim_matches('"')
}

fn shown(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::MAX).to_string()
}

/// The first error of this type in the chain of causes.
pub(super) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // `source` of an I/O error skips the error that it wraps.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => cause(held),
        None => cause(error.source()?),
    }
}
