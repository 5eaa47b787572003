//! How the API server and its one user know each other: certificates and a token, made anew for each cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::Rng;
use rand::distr::Alphanumeric;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::super::{CONTEXT, NAMESPACE};

/// What both need.
pub(super) struct Credentials {
    /// The certificate of who signed the server's, in PEM.
    pub authority: String,
    /// The user's token.
    pub token: String,
    /// The server's end of TLS.
    pub acceptor: TlsAcceptor,
}

impl Credentials {
    /// New ones.
    pub fn new() -> anyhow::Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, CONTEXT);
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
        // Whatever provider the process has.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            authority: authority_certificate.pem(),
            token: rand::rng().sample_iter(Alphanumeric).take(32).map(char::from).collect(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        })
    }
}

/// The kubeconfig of the one user; its JSON is YAML, too.
pub(super) fn kubeconfig(address: SocketAddr, authority: &str, token: &str) -> Value {
    let cluster =
        json!({"server": format!("https://{address}"), "certificate-authority-data": STANDARD.encode(authority)});
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
