//! Chooses the proxy to the cluster by the rules of Go's `httpproxy`, and explains its errors.

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::api_error::{ApiError, PROXY_UNREACHABLE};
use crate::error::Refusal;

/// How long a proxy may take to reply which authentication it requires.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// A proxy's URL, and its description for messages, without user and password.
pub(super) type Proxy = (Uri, String);

/// The proxy to a server: the kubeconfig's, else the environment's.
pub(super) fn choose(
    server: &Uri,
    configured: Option<String>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Refusal> {
    let variable = |name: &str| {
        let mut set =
            [name.to_owned(), name.to_lowercase()].into_iter().filter_map(|name| Some((environment(&name)?, name)));
        set.find(|(value, _)| !value.is_empty())
    };
    let name = if server.scheme_str() == Some("https") { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let (text, source) = match (configured, variable(name)) {
        (Some(text), _) => (text, "`proxy-url` in the kubeconfig".to_owned()),
        (None, Some(_)) if is_exempt(server, &variable("NO_PROXY").unwrap_or_default().0) => return Ok(None),
        (None, Some((text, name))) => (text, format!("{name} in the environment")),
        (None, None) => return Ok(None),
    };
    // With both schemes, the SOCKS proxy resolves names.
    let url = url(&text.replacen("socks5h:", "socks5:", 1), "http", &[("http", 80), ("https", 443), ("socks5", 1080)]);
    // Never shows the value: it may contain a password.
    let url = url.ok_or_else(|| {
        let hint = "write it as http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT; in a user name or password before \
                    the host, encode `@`, `:`, `/`, `#` and `%` as %40, %3A, %2F, %23 and %25";
        Refusal::start(format!("{source} is not a valid proxy URL"), hint)
    })?;
    let named = format!("proxy {} ({source})", without_credentials(&url));
    if url.scheme_str() == Some("socks5") && url.authority().is_some_and(|place| place.as_str().contains('@')) {
        let what = format!("{named} has a user name and password, which this program does not support for SOCKS");
        return Err(Refusal::start(what, "use an HTTP proxy, or a local SOCKS proxy that logs in to this one"));
    }
    Ok(Some((url, named)))
}

/// The URL in `text` with its scheme, or else `scheme`, and with its port, or else the scheme's.
pub(super) fn url(text: &str, scheme: &str, ports: &[(&str, u16)]) -> Option<Uri> {
    let text = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
    let mut uri = text.parse::<Uri>().ok()?.into_parts();
    let (_, port) = ports.iter().find(|(scheme, _)| uri.scheme.as_ref().is_some_and(|its| its == *scheme))?;
    let authority = uri.authority?;
    // With a raw `#`, `?` or `/` in a password, part of the password would become the host.
    if text.matches('@').count() != authority.as_str().matches('@').count() || authority.host().is_empty() {
        return None;
    }
    let (user, place) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    let port = authority.port_u16().or((place.trim_end_matches(':') == authority.host()).then_some(*port))?;
    let user = if user.is_empty() { String::new() } else { user.replace('@', "%40") + "@" };
    uri.authority = Some(format!("{user}{}:{port}", authority.host()).parse().ok()?);
    Uri::from_parts(uri).ok()
}

pub(super) fn without_credentials(url: &Uri) -> String {
    let place = format!("{}:{}", url.host().unwrap_or_default(), url.port_u16().unwrap_or_default());
    format!("{}://{place}{}", url.scheme_str().unwrap_or_default(), url.path().trim_end_matches('/'))
}

/// Whether the environment's proxy must not be used for a server: one on loopback, or listed in `NO_PROXY`.
fn is_exempt(server: &Uri, list: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_lowercase();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let port = server.port_u16().unwrap_or_default().to_string();
    let matches = |rule: &str| {
        if let Ok(net) = rule.parse::<IpNet>() {
            return address.is_some_and(|address| net.contains(&address));
        }
        // An IPv6 address has a port only if it is in brackets.
        let (name, its_port) = match rule.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name.trim_matches(['[', ']']), port),
            _ => (rule, ""),
        };
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        let is_below = host.strip_suffix(name).is_some_and(|rest| name.starts_with('.') || rest.ends_with('.'));
        let is_it = match name.parse::<IpAddr>() {
            Ok(its) => address == Some(its.to_canonical()),
            Err(_) => !name.is_empty() && (is_below || host == name),
        };
        rule == "*" || is_it && (its_port.is_empty() || its_port == port)
    };
    let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    is_local || list.to_lowercase().split(',').map(str::trim).any(matches)
}

pub(super) async fn refusal((proxy, named): &Proxy, server: &Uri, error: &ApiError) -> Refusal {
    let host = server.host().unwrap_or_default();
    let to = format!("{host}:{}", server.port_u16().unwrap_or_default());
    let error_text = error.to_string();
    let cause = error_text.rsplit("error: ").next().unwrap_or_default();
    let (problem, hint) = if error_text.contains("proxy authorization required") {
        let schemes = auth_schemes(proxy, &to).await;
        let password = "put a user name and password into its URL: http://USER:PASSWORD@HOST:PORT";
        let no_password = "it accepts no password in its URL: use a local proxy that logs in to it";
        let hint = if schemes.is_empty() || schemes.contains("Basic") { password } else { no_password };
        (format!("requires a login (407{schemes})"), hint)
    } else if let Some((_, cause)) = error_text.split_once(PROXY_UNREACHABLE) {
        (format!("cannot be reached{cause}"), "check that it is running and that its URL is correct")
    } else if error_text.contains("tunnel error") || error_text.contains("SOCKS error") {
        (format!("did not connect to {to}: {cause}"), "ask its operator whether it allows connections to this address")
    } else {
        return Refusal::start(format!("through {named}: {error_text}"), error.hint());
    };
    Refusal::start(format!("{named} {problem}"), format!("{hint}, or exempt `{host}` from the proxy with NO_PROXY"))
}

/// The authentication schemes that a proxy accepts, each after a space; the client's error does not have them.
async fn auth_schemes(proxy: &Uri, to: &str) -> String {
    let host = proxy.host().unwrap_or_default().trim_matches(['[', ']']);
    let mut reply = Vec::new();
    let ask = async {
        let mut stream = TcpStream::connect((host, proxy.port_u16().unwrap_or_default())).await?;
        stream
            .write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut limited = stream.take(8192);
        while !reply.windows(4).any(|end| end == b"\r\n\r\n") && limited.read_buf(&mut reply).await? > 0 {}
        std::io::Result::Ok(())
    };
    // After an error or a timeout, use the headers received so far.
    let _ = tokio::time::timeout(REPLY_TIMEOUT, ask).await;
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let headers = reply.lines().filter_map(|line| line.split_once(':'));
    let challenges = headers.filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"));
    challenges.filter_map(|(_, value)| Some(format!(" {}", value.split_whitespace().next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_matched_as_in_go() {
        for (list, exempt, others) in [
            (
                "",
                "http://localhost:8080 https://127.0.0.7 https://[::1]:6443 https://LOCALHOST",
                "https://a.b https://10.0.0.1",
            ),
            (" , *", "https://a.b https://10.0.0.1", ""),
            ("a.b", "https://a.b https://c.a.b https://A.B:6443", "https://ca.b https://a.b.c"),
            ("x, A.b:6443 ", "https://a.b:6443 https://c.a.b:6443", "https://a.b"),
            ("a.b:443,:80", "https://a.b", "http://a.b http://c"),
            (".a.b", "https://c.a.b", "https://a.b"),
            ("*.a.b", "https://c.a.b", "https://a.b https://xa.b"),
            ("*a.b", "", "https://a.b https://xa.b"),
            ("10.0.0.0/8", "https://10.1.2.3:6443", "https://11.1.2.3 https://10.example.com"),
            ("10.9.9.9/8", "https://10.1.2.3", ""),
            ("10.0.0.1", "https://10.0.0.1:6443 https://[::ffff:10.0.0.1]", "https://10.0.0.11 https://110.0.0.1"),
            ("10.0.0.1:443", "https://10.0.0.1", "https://10.0.0.1:6443"),
            ("fd00::/8", "https://[fd00::1]", "https://[fe80::1]"),
            ("fd00::1", "https://[fd00::1]:6443", "https://[fd00::2]"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", "https://[fd00::1]"),
            ("<local>, 10.0.0.0/99, http://a.b", "", "https://a.b https://10.0.0.1"),
        ] {
            let exempts =
                |server: &str| is_exempt(&url(server, "https", &[("http", 80), ("https", 443)]).unwrap(), list);
            for server in exempt.split_whitespace() {
                assert!(exempts(server), "{list}: {server}");
            }
            for server in others.split_whitespace() {
                assert!(!exempts(server), "{list}: {server}");
            }
        }
    }

    #[test]
    fn a_url_gets_its_schemes_port_and_is_shown_without_password() {
        let ports = [("http", 80), ("https", 443), ("socks5", 1080)];
        for (text, shown) in [
            ("proxy", Some("http://proxy:80")),
            ("me:@sentinel@proxy:8080", Some("http://proxy:8080")),
            ("https://me:%40sentinel@proxy/", Some("https://proxy:443")),
            ("socks5://proxy", Some("socks5://proxy:1080")),
            ("http://[fd00::1]:3128", Some("http://[fd00::1]:3128")),
            ("me:sentinel#1@proxy", None),
            ("a:b:c", None),
            ("sentinel:x", None),
            ("http://proxy:99999", None),
            ("http://me:1/sentinel@proxy", None),
            ("se nt", None),
            ("%zz@", None),
        ] {
            let url = url(text, "http", &ports);
            assert_eq!(url.as_ref().map(without_credentials).as_deref(), shown, "{text}");
            let is_kept = url.is_some_and(|url| url.to_string().contains("me:%40sentinel@"));
            assert_eq!(is_kept, shown.is_some() && text.contains("sentinel"), "{text}");
        }
    }
}
