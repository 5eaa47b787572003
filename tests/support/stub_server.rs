//! Stub API servers with fixed replies.

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::KeyPair;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

pub fn respond(mut stream: impl Read + Write, reply: impl FnOnce(&str) -> (u16, &'static str)) -> Result<()> {
    let (status, body) = reply(&head(&mut stream)?);
    let fixed = "Canned\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
    stream.write_all(format!("HTTP/1.1 {status} {fixed} {}\r\n\r\n{body}", body.len()).as_bytes())?;
    stream.flush()
}

/// The request line and headers.
pub fn head(stream: &mut impl Read) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// TLS with this certificate, which clients may present too.
pub fn tls(certificate: &CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Arc::new(tls.with_single_cert(vec![certificate.clone()], key.into()).unwrap())
}

/// Serves each connection in its own thread until the process exits; returns the address.
pub fn serve(each: impl Fn(&mut TcpStream) -> Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let each = Arc::clone(&each);
            std::thread::spawn(move || each(&mut stream));
        }
    });
    address
}

pub const VERSION: &str = r#"{"major":"1","minor":"34","gitVersion":"v1.34.4","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
