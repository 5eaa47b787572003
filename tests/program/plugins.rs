//! Credential plugins that still run when the program ends, and one that prints a certificate.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, crypto::ring};

use crate::support::canned::{VERSION, answering, serve};
use crate::support::place::{LIMIT, Place};
use crate::support::speed::until;

/// Where the cluster is, and a plugin that writes down its number and hangs from that run on.
fn place(hangs: u32) -> Place {
    let server = answering(|path| {
        if path.starts_with("/version") {
            return (200, VERSION);
        }
        // Until the plugin runs again.
        std::thread::sleep(Duration::from_secs(3));
        (403, r#"{"kind":"Status","status":"Failure","code":403}"#)
    });
    let place = Place::new();
    let script = format!(
        "echo x >>runs; if [ $(grep -c x runs) = {hangs} ]; then echo $$ >pids; exec sleep 600; fi; \
         echo '{{\"status\": {{\"token\": \"secret\", \"expirationTimestamp\": \"2026-01-01T00:00:00Z\"}}}}'"
    );
    let exec = json!({"command": "sh", "args": ["-c", script], "interactiveMode": "Never"});
    place.configure(&json!({"server": format!("http://{server}")}), &json!({"exec": exec}));
    place
}

fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Holds that what the plugin wrote down is gone soon.
fn ended(place: &Place) {
    let pids = std::fs::read_to_string(place.path("pids")).unwrap();
    assert_eq!(pids.split_whitespace().count(), 1, "{pids}");
    for pid in pids.split_whitespace() {
        until("the plugin's end", Duration::from_secs(5), || is_gone(pid));
    }
}

#[test]
fn a_plugin_that_hangs_when_somebody_stops_the_program_is_ended() {
    let place = place(1);
    let mut running = place.start(place.command(&["doctor", "--suite", "smoke"]));
    running
        .wait_for("the plugin", || std::fs::read_to_string(place.path("pids")).is_ok_and(|pids| pids.ends_with('\n')));
    running.signal("INT");
    assert_eq!(running.end(LIMIT).code, 130);
    ended(&place);
}

#[test]
fn a_plugin_that_renews_a_token_when_the_program_ends_is_ended() {
    let place = place(2);
    place.says(&["doctor", "--suite", "smoke"], 3, &[]);
    ended(&place);
}

#[test]
fn a_certificate_that_a_plugin_prints_is_used() {
    let [server, client] =
        ["127.0.0.1", "me"].map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap());
    let mut roots = RootCertStore::empty();
    roots.add(client.cert.der().clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(server.signing_key.serialize_der());
    let tls = tls.with_client_cert_verifier(verifier).with_single_cert(vec![server.cert.der().clone()], key.into());
    let tls = Arc::new(tls.unwrap());
    let address = serve(move |stream| {
        let secure = ServerConnection::new(Arc::clone(&tls)).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(secure, stream.try_clone()?));
        (&mut stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
        stream.get_mut().write_all(format!("{head} {}\r\n\r\n{VERSION}", VERSION.len()).as_bytes())
    });
    let place = Place::new();
    let [certificate, key] = [client.cert.pem(), client.signing_key.serialize_pem()];
    let said = json!({"status": {"clientCertificateData": certificate, "clientKeyData": key}}).to_string();
    let exec =
        json!({"command": "sh", "args": ["-c", "printf %s \"$SAID\""], "env": [{"name": "SAID", "value": said}]});
    std::fs::write(place.path("ca.pem"), server.cert.pem()).unwrap();
    let cluster = json!({"server": format!("https://{address}"), "certificate-authority": "ca.pem"});
    place.configure(&cluster, &json!({"exec": exec}));
    place.says(&["doctor", "--suite", "smoke"], 3, &["PASS  cluster"]);
}
