//! Why the API server cannot be talked to, in words: its certificate, a side that speaks no TLS, what answers in its place.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{self, CertificateError, InvalidMessage};

const CLOCK: &str = "set this machine's clock if it is wrong; else have the server's certificate renewed";
const NAME: &str = "use one of its names in the kubeconfig's cluster: in `server`, or in `tls-server-name`";
const TRUST: &str = "have the kubeconfig made anew, as after a cluster was; `certificate-authority` is the certificate of who issued \
                     the server's, and not the server's own";
const ISSUE: &str = "issue one for the server itself, as with `openssl req -x509 -CA ca.crt -CAkey ca.key -newkey rsa:2048 -nodes \
                     -keyout server.key -out server.crt -subj /CN=HOST -addext basicConstraints=critical,CA:FALSE \
                     -addext subjectAltName=DNS:HOST`";
const HTTP: &str =
    "if it should be without TLS, begin the server's URL in the kubeconfig with http://; else look at its port";
const ALERT: &str = "give the kubeconfig's user the client certificate that the server wants; if it wants none, look into its log, \
                     and whether it speaks TLS 1.2 or 1.3";
const HTTPS: &str = "begin the server's URL in the kubeconfig with https://, or look at its port";

/// Why there is no answer of the API server's own, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct TransportError {
    pub(super) what: String,
    pub(super) hint: &'static str,
    /// Whether it depends on the certificate authorities that are trusted.
    pub(super) is_of_trust: bool,
}

impl TransportError {
    pub(super) fn new(what: impl Into<String>, hint: &'static str) -> Self {
        Self { what: what.into(), hint, is_of_trust: false }
    }

    pub(super) fn foreign(said: &str) -> Self {
        let what = format!("no Kubernetes API answers there, but something else: {said}");
        Self::new(what, "look at the server's URL in the kubeconfig, at the proxy and at the VPN")
    }

    pub(super) fn no_websocket(said: &str) -> Self {
        let what = format!("no websocket is let through to the API server: {said}");
        Self::new(what, "let websockets pass there; `kubectl exec` proves nothing: it falls back on SPDY")
    }

    pub(super) fn no_http() -> Self {
        Self::new("what answers there speaks no HTTP without TLS", HTTPS)
    }
}

/// What is wrong with TLS, if that is why.
pub(super) fn fault(error: &(dyn Error + 'static)) -> Option<TransportError> {
    if let Some(error) = cause::<rustls::Error>(error) {
        return Some(match error {
            rustls::Error::InvalidCertificate(error) => certificate(error),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
                TransportError::new("what answers there speaks no TLS", HTTP)
            }
            rustls::Error::AlertReceived(alert) => TransportError::new(
                format!("what answers there ended the connection by TLS, with its alert {alert:?}"),
                ALERT,
            ),
            _ => return None,
        });
    }
    cause::<hyper::Error>(error).is_some_and(hyper::Error::is_parse).then(TransportError::no_http)
}

fn certificate(error: &CertificateError) -> TransportError {
    let its = |what: &str| format!("the server's certificate {what}");
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            TransportError::new(its(&format!("expired at {}; it is {} here", at(*not_after), at(*time))), CLOCK)
        }
        CertificateError::NotValidYetContext { time, not_before } => TransportError::new(
            its(&format!("is not valid before {}; it is {} here", at(*not_before), at(*time))),
            CLOCK,
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no name" } else { &names };
            TransportError::new(its(&format!("is for {names}, and not for {}", expected.to_str())), NAME)
        }
        // A new authority of the same name has another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let what = its("was issued by no authority that is trusted");
            TransportError { is_of_trust: true, ..TransportError::new(what, TRUST) }
        }
        CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => TransportError::new(
            its("is that of a certificate authority, which is accepted for none (kubectl does)"),
            ISSUE,
        ),
        other => TransportError::new(its(&format!("is not accepted: {other}")), "have it issued anew"),
    }
}

/// A name without its kind, which is written around it.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')')).trim_matches('"')
}

fn at(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.unwrap_or(Timestamp::MAX).to_string()
}

/// The first error of that type among an error and its causes.
pub(super) fn cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // The source of an error of input is that of what it holds.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(held) => cause(held),
        None => cause(error.source()?),
    }
}
