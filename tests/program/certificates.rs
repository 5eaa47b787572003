//! What is wrong with TLS is said in words, with what to change: certificates, who issued them, and servers that speak no TLS.

use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use tokio_rustls::rustls::{ServerConnection, Stream};

use crate::support::canned::{serve, tls};
use crate::support::place::Place;

/// A server with a certificate of its own for that name, which is changed, and the certificate as PEM.
fn secure(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    let tls = tls(certificate.der(), &key);
    let server = serve(move |stream| {
        let mut secure = ServerConnection::new(Arc::clone(&tls)).unwrap();
        Stream::new(&mut secure, stream).read_exact(&mut [0])
    });
    (server, certificate.pem())
}

/// Holds what `doctor` says of a cluster to these words.
fn says(cluster: &Value, files: &[(&str, &str)], words: &[&str]) {
    let place = Place::new();
    place.configure(cluster, &json!({"token": "secret"}));
    for (name, text) in files {
        std::fs::write(place.path(name), text).unwrap();
    }
    let mut command = place.command(&["--suite", "smoke", "--quiet"]);
    // The store of systems that have it in a file.
    command.env("SSL_CERT_FILE", place.path("store.pem"));
    place.finish(command).says(3, words);
}

#[test]
fn a_certificate_that_is_not_accepted_is_told_with_what_to_change() {
    let in_year = |year| {
        move |params: &mut CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(year, 1, 1), date_time_ymd(year + 1, 1, 1));
        }
    };
    let clock = "set this machine's clock";
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    for ((server, pem), words) in [
        (secure("127.0.0.1", in_year(2000)), ["expired at 2001-01-01T00:00:00Z; it is 20", clock]),
        (secure("127.0.0.1", in_year(2090)), ["is not valid before 2090-01-01T00:00:00Z; it is 20", clock]),
        (
            secure("other.example", |params| params.is_ca = IsCa::ExplicitNoCa),
            ["is for other.example, and not for 127.0.0.1", "`tls-server-name`"],
        ),
        (secure("127.0.0.1", |params| params.is_ca = authority), ["is that of a certificate authority", "CA:FALSE"]),
    ] {
        let cluster = json!({"server": format!("https://{server}"), "certificate-authority": "ca.pem"});
        says(&cluster, &[("ca.pem", &pem)], &words);
    }
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
