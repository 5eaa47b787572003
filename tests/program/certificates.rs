//! What is wrong with TLS is said in words, with what to change: certificates, who issued them, and servers that speak no TLS.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream, crypto::ring, pki_types::PrivatePkcs8KeyDer};

use crate::support::canned::serve;
use crate::support::place::Place;

/// A server with a certificate of its own for that name, which is changed, and the certificate as PEM.
fn secure(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let tls = Arc::new(tls.with_single_cert(vec![certificate.der().clone()], key.into()).unwrap());
    let server = serve(move |stream| {
        let mut secure = ServerConnection::new(Arc::clone(&tls)).unwrap();
        Stream::new(&mut secure, stream).read_exact(&mut [0])
    });
    (server, certificate.pem())
}

/// Holds what `doctor` says of a cluster to these words.
fn says(cluster: &Value, files: &[(&str, &str)], words: &[&str]) {
    let place = Place::new();
    let config = json!({"clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "file-simulator", "context": {"cluster": "c", "user": "u"}}]});
    std::fs::write(place.path("kubeconfig"), config.to_string()).unwrap();
    for (name, text) in files {
        std::fs::write(place.path(name), text).unwrap();
    }
    let mut command = place.command(&["--suite", "smoke", "--quiet"]);
    // The store of systems that have it in a file.
    command.env("SSL_CERT_FILE", place.path("store.pem"));
    let ended = place.finish(command);
    assert_eq!(ended.code, 3, "{}", ended.all());
    for word in words {
        assert!(ended.err.contains(word), "{word}: {}", ended.err);
    }
}

#[test]
fn a_certificate_that_is_not_accepted_is_told_with_what_to_change() {
    let mut times = [
        (2000, "expired at 2001-01-01T00:00:00Z; it is 20"),
        (2090, "is not valid before 2090-01-01T00:00:00Z; it is 20"),
    ];
    for (year, said) in &mut times {
        let (server, pem) = secure("127.0.0.1", |params| {
            (params.not_before, params.not_after) = (date_time_ymd(*year, 1, 1), date_time_ymd(*year + 1, 1, 1));
        });
        let cluster = json!({"server": format!("https://{server}"), "certificate-authority": "ca.pem"});
        says(&cluster, &[("ca.pem", &pem)], &["the server's certificate ", said, "set this machine's clock"]);
    }
    let (server, pem) = secure("other.example", |params| params.is_ca = IsCa::ExplicitNoCa);
    let cluster = json!({"server": format!("https://{server}"), "certificate-authority": "ca.pem"});
    says(&cluster, &[("ca.pem", &pem)], &["is for other.example, and not for 127.0.0.1", "`tls-server-name`"]);
    let (server, pem) = secure("127.0.0.1", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let cluster = json!({"server": format!("https://{server}"), "certificate-authority": "ca.pem"});
    says(&cluster, &[("ca.pem", &pem)], &["is that of a certificate authority", "CA:FALSE"]);
}

#[test]
fn an_unknown_authority_is_told_with_those_that_are_known() {
    let (server, _) = secure("127.0.0.1", |_| {});
    let (_, other) = secure("127.0.0.1", |_| {});
    let cluster = |key: &str, value: &str| json!({"server": format!("https://{server}"), key: value});
    let inline = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &other);
    for (cluster, trusted) in [
        (cluster("certificate-authority", "ca.pem"), "ca.pem)"),
        (cluster("certificate-authority-data", &inline), "`certificate-authority-data` of the cluster `c` in "),
        (cluster("disable-compression", ""), "this system's store, because the cluster `c` in "),
    ] {
        let files = [("ca.pem", other.as_str()), ("store.pem", &other)];
        says(&cluster, &files, &["was issued by no authority that is trusted (those are in ", trusted, "made anew"]);
    }
    if cfg!(target_os = "linux") {
        let words =
            ["TLS cannot be set up", "No CA certificates were loaded from the system", "`certificate-authority`"];
        says(&cluster("disable-compression", ""), &[], &words);
    }
}

#[test]
fn a_server_without_tls_and_one_that_wants_it_are_told_by_the_scheme() {
    let server = |answer: &'static [u8]| {
        serve(move |stream| {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(answer)
        })
    };
    let plain = server(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    // Neither needs the system's store, which is empty here.
    let cluster = json!({"server": format!("https://{plain}"), "insecure-skip-tls-verify": true});
    says(&cluster, &[], &["speaks no TLS", "with http://"]);
    for answer in [
        &b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"[..],
        b"\x15\x03\x01\0\x02\x02\x46",
    ] {
        let cluster = json!({"server": format!("http://{}", server(answer))});
        says(&cluster, &[], &["speaks no HTTP without TLS", "with https://"]);
    }
}
