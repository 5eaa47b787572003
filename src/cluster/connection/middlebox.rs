//! Recognizes replies from gateways and proxies in front of the API server, and repeats requests when it asks for a retry.

use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::deadline::REPLY_TIMEOUT;
use crate::cluster::transport::TransportError;

const MAX_RETRIES: u32 = 10;
/// Set on every reply, even plain text ones. Source: `WithAuditInit` of Kubernetes' `apiserver`.
const AUDIT_ID: &str = "audit-id";

/// How the kubelet's own errors begin, when the API server passes a websocket through to it.
const KUBELET: [&str; 3] = ["unable to upgrade connection", "pod does not exist", "container not found"];

/// A client that checks whether each reply comes from Kubernetes, and repeats requests that may be repeated.
pub(super) fn guarded(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    Client::new(tower::service_fn(move |request| send(client.clone(), request)), namespace)
}

async fn send(client: Client, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
    let began = Instant::now();
    let (asked, body) = request.into_parts();
    let body = body.collect_bytes().await?;
    let (is_upgrade, is_log) = (asked.headers.contains_key(UPGRADE), asked.uri.path().ends_with("/log"));
    let is_repeatable = asked.method == Method::GET || asked.uri.path().ends_with("accessreviews");
    let mut attempt = 1;
    loop {
        let response = client.send(Request::from_parts(asked.clone(), body.clone().into())).await?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or("none");
        let seconds = retry_after.trim().parse().ok().map(Duration::from_secs);
        let wait = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Some(seconds.unwrap_or(Duration::from_secs(1))),
            // Never repeat an upgrade: its command may have run.
            status if status.is_server_error() && !is_upgrade => seconds,
            _ => None,
        };
        let Some(wait) = wait.filter(|_| is_repeatable) else { return checked(is_upgrade, is_log, response).await };
        if attempt > MAX_RETRIES || wait >= REPLY_TIMEOUT.saturating_sub(began.elapsed()) {
            let status = response.status();
            let message = format!("the API server is busy: {status}, Retry-After: {retry_after} (attempt {attempt})");
            return Err(TransportError::new(message, "wait as long as Retry-After asks, then run again").into());
        }
        tokio::time::sleep(wait).await;
        attempt += 1;
    }
}

async fn checked(is_upgrade: bool, is_log: bool, response: Response<Body>) -> Result<Response<Body>, tower::BoxError> {
    let (head, body) = response.into_parts();
    let status = head.status;
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_success = match kind.as_str() {
        _ if is_upgrade => status == StatusCode::SWITCHING_PROTOCOLS,
        // Some gateways report an expired token in a format of their own.
        "application/json" => status.is_success() || status == StatusCode::UNAUTHORIZED,
        // A log is plain text.
        kind => status.is_success() && kind != "text/html" && is_log,
    };
    if is_success || status.as_u16() >= 400 && head.headers.contains_key(AUDIT_ID) && !is_upgrade {
        return Ok(Response::from_parts(head, body));
    }
    let location = redacted(header(LOCATION)).unwrap_or_default();
    // Kubernetes' errors are shorter.
    let body = Limited::new(body, 64 << 10).collect().await.map(Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    if is_kubernetes_error(&text) && status.as_u16() >= 400 {
        return Ok(Response::from_parts(head, body.into()));
    }
    if is_upgrade && KUBELET.iter().any(|words| text.trim_start().starts_with(words)) {
        let error = json!({"kind": "Status", "status": "Failure", "message": text.trim(), "code": status.as_u16()});
        return Ok(Response::from_parts(head, error.to_string().into_bytes().into()));
    }
    // The error of Go's servers and of nginx.
    if status == StatusCode::BAD_REQUEST && text.contains("HTTP request") && text.contains("HTTPS") {
        return Err(TransportError::tls_required().into());
    }
    let text = if kind == "text/html" { String::new() } else { text.trim().chars().take(200).collect() };
    let parts = [status.to_string(), kind, location, text].into_iter();
    let reply = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let error = if is_upgrade { TransportError::websocket_blocked } else { TransportError::not_kubernetes };
    Err(error(&reply).into())
}

/// Whether the text is a Kubernetes error, except the one for an upgrade whose headers were removed on the way.
fn is_kubernetes_error(text: &str) -> bool {
    let status: Value = serde_json::from_str(text).unwrap_or_default();
    let is_status = status["kind"] == "Status" || status["status"] == "Failure";
    is_status && status["message"] != "Upgrade request required"
}

/// The target of a redirect, without user and query, which may be secret.
fn redacted(location: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let scheme = uri.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    Some(format!("Location: {scheme}{}{}", uri.host().unwrap_or_default(), uri.path()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tower::BoxError;

    use super::*;

    /// A reply: code, headers, body.
    type Canned = (u16, &'static [(&'static str, &'static str)], &'static str);

    const STATUS: &str = r#"{"kind":"Status","status":"Failure","message":"no","code":429}"#;
    const STRIPPED: &str = r#"{"kind":"Status","status":"Failure","message":"Upgrade request required","code":400}"#;
    const KUBELETS: &str = "unable to upgrade connection: container not found (\"nfs-server\")\n";
    const JSON: (&str, &str) = ("content-type", "application/json");
    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    const BUSY: Canned = (429, &[JSON, ("retry-after", "0")], STATUS);
    const DOWN: Canned = (503, &[JSON, ("retry-after", "0")], STATUS);
    const OK: Canned = (200, &[JSON], "{}");
    const UPGRADED: Canned = (101, &[], "");

    /// Sends a request to a server with these replies, the last of them forever; returns the result and the number of attempts.
    async fn ask(method: Method, path: &str, replies: &[Canned]) -> (String, usize) {
        let attempts = Arc::new(AtomicUsize::new(0));
        let (count, replies) = (Arc::clone(&attempts), replies.to_vec());
        let server = tower::service_fn(move |_: Request<Body>| {
            let (code, headers, body) = replies[count.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)];
            let reply = Response::builder().status(code);
            let reply = headers.iter().fold(reply, |reply, (key, value)| reply.header(*key, *value));
            std::future::ready(Ok::<_, BoxError>(reply.body(Body::from(body.as_bytes().to_vec())).unwrap()))
        });
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        if path == "/exec" {
            request.headers_mut().insert(UPGRADE, "websocket".parse().unwrap());
        }
        let reply = guarded(Client::new(server, "default")).send(request).await;
        let result = reply.map_or_else(|error| error.to_string(), |reply| reply.status().as_u16().to_string());
        (result, attempts.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn requests_are_retried_unless_a_command_may_have_run() {
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        for (method, path, replies, expected, times) in [
            (Method::GET, "/api", &[BUSY, DOWN, (429, &[], ""), OK][..], "200", 4),
            (Method::POST, review, &[BUSY, OK], "200", 2),
            (Method::DELETE, "/api/v1/pods/a", &[BUSY, OK], "429", 1),
            // No Retry-After.
            (Method::GET, "/api", &[(503, &[JSON], STATUS), OK], "503", 1),
            (Method::GET, "/exec", &[BUSY, UPGRADED], "101", 2),
            (Method::GET, "/exec", &[DOWN, UPGRADED], "503", 1),
            (Method::GET, "/api", &[BUSY], "429 Too Many Requests, Retry-After: 0 (attempt 11)", 11),
            (Method::GET, "/api", &[(429, &[("retry-after", "10")], STATUS)], "Retry-After: 10 (attempt 1)", 1),
            (Method::GET, "/api", &[(429, &[("retry-after", "18446744073709551615")], STATUS)], "5 (attempt 1)", 1),
        ] {
            let (result, attempts) = ask(method, path, replies).await;
            assert!(result.ends_with(expected) && attempts == times, "{result}, {attempts} attempts, not {expected}");
        }
    }

    #[tokio::test]
    async fn replies_of_gateways_are_distinguished_from_kubernetes_errors() {
        let [foreign, blocked] = [
            "the reply does not come from a Kubernetes API server: ",
            "a proxy or gateway blocks websockets to the API server: ",
        ];
        for (path, reply, begin, rest) in [
            ("/api", &[(403, &[JSON][..], STATUS)], "", "403"),
            ("/apis/none", &[(404, &[TEXT, (AUDIT_ID, "1")], "404 page not found")], "", "404"),
            ("/a/log", &[(200, &[TEXT], "a line")], "", "200"),
            // A gateway's own format.
            ("/api", &[(401, &[JSON], "{}")], "", "401"),
            ("/a/log", &[(200, &[HTML], "<html>")], foreign, "200 OK, text/html"),
            ("/version", &[(200, &[TEXT], "hello")], foreign, "200 OK, text/plain, hello"),
            ("/version", &[(404, &[TEXT], "not found")], foreign, "404 Not Found, text/plain, not found"),
            ("/version", &[(403, &[JSON], "{}")], foreign, "403 Forbidden, application/json, {}"),
            (
                "/version",
                &[(302, &[("location", "https://me:pw@sso.example/start?state=secret#a")], "")],
                foreign,
                "302 Found, Location: https://sso.example/start",
            ),
            ("/exec", &[(403, &[JSON], STATUS)], "", "403"),
            ("/exec", &[(500, &[TEXT], KUBELETS)], "", "500"),
            ("/exec", &[(502, &[TEXT, (AUDIT_ID, "1")], "no")], blocked, "502 Bad Gateway, text/plain, no"),
            ("/exec", &[(200, &[JSON], "{}")], blocked, "200 OK, application/json, {}"),
        ] {
            let (result, _) = ask(Method::GET, path, reply).await;
            assert_eq!(result.trim_start_matches("ServiceError: "), format!("{begin}{rest}"), "{path}");
        }
        let (stripped, _) = ask(Method::GET, "/exec", &[(400, &[JSON], STRIPPED)]).await;
        assert!(stripped.contains(blocked) && stripped.contains("Upgrade request required"), "{stripped}");
    }
}
