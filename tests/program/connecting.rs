//! The program connects wherever kubectl does, and explains errors. `connecting.yaml` has the kubeconfigs, and whether kubectl
//! connects with each; `KUBECTL=kubectl` compares with a real kubectl. All servers are on loopback; every secret contains
//! `sentinel`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, KeyPair, date_time_ymd};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_rustls::rustls::{ServerConnection, Stream};

use crate::support::stub_server::{VERSION, head, respond, serve, tls};
use crate::support::workspace::Workspace;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Variant {
    name: String,
    connects: bool,
    stderr: Option<Vec<String>>,
    received: Vec<String>,
    cluster: Option<Value>,
    user: Option<Value>,
    files: BTreeMap<String, String>,
    utf16: bool,
    only: String,
    environment: BTreeMap<String, String>,
    arguments: Vec<String>,
}

type Received = Arc<Mutex<Vec<String>>>;

fn record(server: &str, head: &str, received: &Received) {
    received.lock().unwrap().extend(head.lines().map(|line| format!("{server}: {line}").to_lowercase()));
}

fn reply(stream: impl Read + Write, received: &Received) -> std::io::Result<()> {
    respond(stream, |head| {
        record("server", head, received);
        if head.contains("/version") { (200, VERSION) } else { (403, "{}") }
    })
}

#[test]
fn it_connects_wherever_kubectl_does_and_shows_no_secret() {
    let received = Received::default();
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let tls = tls(cert.der(), &signing_key);
    let noted = Arc::clone(&received);
    let server = serve(move |stream| {
        let mut first = [0];
        stream.peek(&mut first)?;
        // The first byte of a TLS handshake.
        if first != [0x16] {
            return reply(stream, &noted);
        }
        let mut secure = ServerConnection::new(Arc::clone(&tls)).unwrap();
        while secure.is_handshaking() {
            secure.complete_io(stream)?;
        }
        noted.lock().unwrap().extend(secure.peer_certificates().map(|_| "server: a client's certificate".to_owned()));
        reply(Stream::new(&mut secure, stream), &noted)
    });
    let (noted, to) = (Arc::clone(&received), server.clone());
    // Always connects to the server.
    let proxy = serve(move |stream| {
        let head = head(stream)?;
        record("proxy", &head, &noted);
        let mut server = TcpStream::connect(&to)?;
        let is_tunnel = head.starts_with("CONNECT");
        server.write_all(if is_tunnel { b"" } else { head.as_bytes() })?;
        stream.write_all(if is_tunnel { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"" })?;
        let (mut up, mut down) = (stream.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || std::io::copy(&mut up, &mut server));
        std::io::copy(&mut down, stream)?;
        stream.shutdown(std::net::Shutdown::Both)
    });
    let noted = Arc::clone(&received);
    let picky = serve(move |stream| {
        record("proxy", &head(stream)?, &noted);
        let headers = "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0";
        stream.write_all(format!("HTTP/1.1 407 No\r\n{headers}\r\n\r\n").as_bytes())
    });
    let ca = STANDARD.encode(cert.pem());
    let lines = ca.as_bytes().chunks(64).map(|line| format!("{}\\n", String::from_utf8_lossy(line)));
    let known = [("{server}", server.clone()), ("{proxy}", proxy), ("{picky}", picky), ("{ca}", ca.clone())];
    let separator = if cfg!(windows) { ";" } else { ":" }.to_owned();
    let known = known.into_iter().chain([("{ca lines}", lines.collect()), ("{:}", separator)]);
    let pem = [("{certificate}", cert.pem()), ("{key}", signing_key.serialize_pem())];
    let known =
        known.chain(pem.map(|(name, text)| (name, text.replace('\n', "\\n")))).map(|(name, is)| (name.to_owned(), is));
    let known = known.chain(broken_servers());
    let text = std::fs::read_to_string(crate::support::root("tests/program/connecting.yaml")).unwrap();
    let text = known.fold(text, |text, (name, value)| text.replace(&name, &value));
    let trusted = json!({"server": format!("https://{server}"), "certificate-authority-data": ca});
    let default = [trusted, json!({"token": "sentinel-own"})];
    let variants: Vec<Variant> = serde_saphyr::from_str(&text).unwrap();
    let variants = variants.iter().filter(|variant| match variant.only.as_str() {
        "unix" => cfg!(unix),
        "linux" => cfg!(target_os = "linux"),
        _ => true,
    });
    let wrong: Vec<String> = variants.filter_map(|variant| try_variant(variant, &default, &received).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Servers with an invalid certificate, servers without TLS, and a server with only TLS.
fn broken_servers() -> impl Iterator<Item = (String, String)> {
    let in_year = |params: &mut CertificateParams, year| {
        (params.not_before, params.not_after) = (date_time_ymd(year, 1, 1), date_time_ymd(year + 1, 1, 1));
    };
    let secure = |name, host: &str, change: &dyn Fn(&mut CertificateParams)| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        let tls = tls(certificate.der(), &key);
        let server = serve(move |stream| {
            let mut secure = ServerConnection::new(Arc::clone(&tls)).unwrap();
            respond(Stream::new(&mut secure, stream), |_| (200, VERSION))
        });
        let pem = certificate.pem();
        [("", server), (" data", STANDARD.encode(&pem)), (" pem", pem.replace('\n', "\\n"))]
            .map(|(what, is)| (format!("{{{name}{what}}}"), is))
    };
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let secured = [
        secure("old", "127.0.0.1", &|params| in_year(params, 2000)),
        secure("early", "127.0.0.1", &|params| in_year(params, 2090)),
        secure("other", "other.example", &|params| params.is_ca = IsCa::ExplicitNoCa),
        secure("authority", "127.0.0.1", &authority),
    ];
    let replies = [
        ("{plain}", &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..]),
        ("{secure}", b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"),
        ("{alert}", b"\x15\x03\x01\0\x02\x02\x46"),
    ];
    let others = replies.map(|(name, reply)| {
        let server = serve(move |stream| {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(reply)
        });
        (name.to_owned(), server)
    });
    secured.into_iter().flatten().chain(others)
}

fn try_variant(variant: &Variant, default: &[Value; 2], received: &Received) -> Result<(), String> {
    let workspace = Workspace::new();
    let [cluster, user] = [(&variant.cluster, &default[0]), (&variant.user, &default[1])]
        .map(|(own, default)| own.as_ref().unwrap_or(default));
    workspace.configure(cluster, user);
    for (name, text) in &variant.files {
        std::fs::create_dir_all(workspace.path(name).parent().unwrap()).unwrap();
        let wide = || format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(workspace.path(name), if variant.utf16 { wide() } else { text.clone().into_bytes() }).unwrap();
    }
    let first = if variant.stderr.is_some() { "--quiet" } else { "doctor" };
    let arguments: Vec<&str> = variant.arguments.iter().map(String::as_str).collect();
    let mut command = workspace.command(&[&[first, "--suite", "smoke"], &*arguments].concat());
    let here = workspace.path("").display().to_string();
    command.envs(variant.environment.iter().map(|(name, value)| (name, value.replace("{here}", &here))));
    if let Some(kubectl) = std::env::var_os("KUBECTL") {
        let mut kubectl = Command::new(kubectl);
        kubectl.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let version = ["get", "--raw=/version", "--context=file-simulator", "--request-timeout=5s"];
        let output = kubectl.current_dir(&here).args(version).args(&arguments).output().unwrap();
        if output.status.success() != variant.connects {
            return Err(format!("{}: {output:?}", variant.name));
        }
    }
    received.lock().unwrap().clear();
    let _ = std::fs::remove_file(workspace.path("runs"));
    let ended = workspace.finish(command);
    let reports = std::fs::read_dir(workspace.path("reports")).into_iter().flatten();
    let reports: String = reports.map(|report| std::fs::read_to_string(report.unwrap().path()).unwrap()).collect();
    let (output, requests) = (ended.all(), received.lock().unwrap().join("\n"));
    let is_result_right = variant.stderr.as_ref().map_or(ended.out.contains("PASS  cluster"), |parts| {
        ended.code == 3 && parts.iter().all(|part| ended.err.contains(part))
    });
    let has = |line: &str| requests.contains(&line.to_lowercase());
    let are_requests_right =
        variant.received.iter().all(|line| line.strip_prefix("no ").map_or(has(line), |no| !has(no)));
    let shows_secret = [&output, &reports].iter().any(|text| text.contains("sentinel") || text.contains("c2VudGluZW"));
    let is_right = is_result_right && are_requests_right && !shows_secret && !output.contains("panicked");
    if is_right { Ok(()) } else { Err(format!("{} ({}): {output}\n{requests}", variant.name, ended.code)) }
}
