//! How the API server and its one user know each other: a certificate and a token, made anew for each cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::CertifiedKey;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::super::{CONTEXT, NAMESPACE};

pub(super) struct Credentials {
    /// The server's certificate, signed by itself, in PEM.
    pub certificate: String,
    pub token: String,
    pub acceptor: TlsAcceptor,
}

impl Credentials {
    pub fn new() -> anyhow::Result<Self> {
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        // Whatever provider the process has.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())?;
        let token = format!("{:032x}", rand::random::<u128>());
        Ok(Self { certificate: cert.pem(), token, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// The kubeconfig of the one user; its JSON is YAML, too.
pub(super) fn kubeconfig(address: SocketAddr, certificate: &str, token: &str) -> Value {
    let certificate = STANDARD.encode(certificate);
    let cluster = json!({"server": format!("https://{address}"), "certificate-authority-data": certificate});
    let context = json!({"cluster": CONTEXT, "user": CONTEXT, "namespace": NAMESPACE});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": context}],
        "current-context": CONTEXT,
    })
}
