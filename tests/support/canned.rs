//! API servers that give canned answers, or none.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rcgen::KeyPair;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto::ring};

/// Answers each request by its path with a status and a JSON body, until the test ends; returns its address.
pub fn answering(answer: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static) -> String {
    serve(move |stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        let (status, body) = answer(&path);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Canned\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes())
    })
}

/// TLS with this certificate, which clients may have, too.
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

/// Accepts connections and never answers; returns its address.
pub fn silent() -> String {
    serve(|stream| {
        // Until the peer gives up.
        std::io::copy(stream, &mut std::io::sink()).map(drop)
    })
}

/// Serves each connection in a thread, until the test ends; returns the address.
pub fn serve(each: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
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
