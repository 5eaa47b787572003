//! What is between here and the API server, such as a gateway, and answers in its place; and requests that are to come again later.

use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::deadline::ANSWER;
use crate::cluster::transport::TransportError;

const AGAIN: u32 = 10;
/// Source: `WithAuditInit` of Kubernetes' `apiserver`, which gives it to every answer, also to those that are plain text.
const AUDIT_ID: &str = "audit-id";

/// How the kubelet begins its own words, where the API server passes a websocket through to it.
const KUBELET: [&str; 3] = ["unable to upgrade connection", "pod does not exist", "container not found"];

/// The client, with every answer looked at: whether it is Kubernetes', and whether the request may be made again.
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
    let mut times = 1;
    loop {
        let response = client.send(Request::from_parts(asked.clone(), body.clone().into())).await?;
        let said = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).unwrap_or("none");
        let seconds = said.trim().parse().ok().map(Duration::from_secs);
        let wait = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => Some(seconds.unwrap_or(Duration::from_secs(1))),
            // A command may have been run.
            status if status.is_server_error() && !is_upgrade => seconds,
            _ => None,
        };
        let Some(wait) = wait.filter(|_| is_repeatable) else { return checked(is_upgrade, is_log, response).await };
        if times > AGAIN || wait >= ANSWER.saturating_sub(began.elapsed()) {
            let what = format!("the API server is busy: {}, Retry-After: {said}, request {times}", response.status());
            return Err(TransportError::new(what, "wait for as long as it asks, then run again").into());
        }
        tokio::time::sleep(wait).await;
        times += 1;
    }
}

async fn checked(is_upgrade: bool, is_log: bool, response: Response<Body>) -> Result<Response<Body>, tower::BoxError> {
    let (head, body) = response.into_parts();
    let status = head.status;
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_success = match kind.as_str() {
        _ if is_upgrade => status == StatusCode::SWITCHING_PROTOCOLS,
        // Some gateways have their own words for a token that has expired.
        "application/json" => status.is_success() || status == StatusCode::UNAUTHORIZED,
        // A log is plain text.
        kind => status.is_success() && kind != "text/html" && is_log,
    };
    if is_success || status.as_u16() >= 400 && head.headers.contains_key(AUDIT_ID) && !is_upgrade {
        return Ok(Response::from_parts(head, body));
    }
    let place = place(header(LOCATION)).unwrap_or_default();
    // A longer answer is no error of Kubernetes.
    let body = Limited::new(body, 64 << 10).collect().await.map(Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    if is_error(&text) && status.as_u16() >= 400 {
        return Ok(Response::from_parts(head, body.into()));
    }
    if is_upgrade && KUBELET.iter().any(|words| text.trim_start().starts_with(words)) {
        let said = json!({"kind": "Status", "status": "Failure", "message": text.trim(), "code": status.as_u16()});
        return Ok(Response::from_parts(head, said.to_string().into_bytes().into()));
    }
    // So say Go's servers, and nginx.
    if status == StatusCode::BAD_REQUEST && text.contains("HTTP request") && text.contains("HTTPS") {
        return Err(TransportError::no_http().into());
    }
    let text = if kind == "text/html" { String::new() } else { text.trim().chars().take(200).collect() };
    let parts = [status.to_string(), kind, place, text].into_iter();
    let said = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    Err(if is_upgrade { TransportError::no_websocket(&said) } else { TransportError::foreign(&said) }.into())
}

/// Whether it is an error of Kubernetes. One says that the request to open a websocket came without its headers.
fn is_error(text: &str) -> bool {
    let status: Value = serde_json::from_str(text).unwrap_or_default();
    let is_status = status["kind"] == "Status" || status["status"] == "Failure";
    is_status && status["message"] != "Upgrade request required"
}

/// Where a redirect leads, without what may be secret: the query, and a user's name.
fn place(location: &str) -> Option<String> {
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

    /// An answer: code, headers, body.
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

    /// What becomes of a request that gets these answers, one after the other and the last for ever; how many were asked for.
    async fn ask(method: Method, path: &str, answers: &[Canned]) -> (String, usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, answers) = (Arc::clone(&asked), answers.to_vec());
        let server = tower::service_fn(move |_: Request<Body>| {
            let (code, headers, body) = answers[count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)];
            let answer = Response::builder().status(code);
            let answer = headers.iter().fold(answer, |answer, (key, value)| answer.header(*key, *value));
            std::future::ready(Ok::<_, BoxError>(answer.body(Body::from(body.as_bytes().to_vec())).unwrap()))
        });
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        if path == "/exec" {
            request.headers_mut().insert(UPGRADE, "websocket".parse().unwrap());
        }
        let answer = guarded(Client::new(server, "default")).send(request).await;
        let said = answer.map_or_else(|error| error.to_string(), |answer| answer.status().as_u16().to_string());
        (said, asked.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn what_asks_to_come_again_is_asked_again_and_no_command_that_may_have_run() {
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        for (method, path, answers, said, times) in [
            (Method::GET, "/api", &[BUSY, DOWN, (429, &[], ""), OK][..], "200", 4),
            (Method::POST, review, &[BUSY, OK], "200", 2),
            (Method::DELETE, "/api/v1/pods/a", &[BUSY, OK], "429", 1),
            // It does not say that it wants to be asked again.
            (Method::GET, "/api", &[(503, &[JSON], STATUS), OK], "503", 1),
            (Method::GET, "/exec", &[BUSY, UPGRADED], "101", 2),
            (Method::GET, "/exec", &[DOWN, UPGRADED], "503", 1),
            (Method::GET, "/api", &[BUSY], "429 Too Many Requests, Retry-After: 0, request 11", 11),
            (Method::GET, "/api", &[(429, &[("retry-after", "10")], STATUS)], "Retry-After: 10, request 1", 1),
            (Method::GET, "/api", &[(429, &[("retry-after", "18446744073709551615")], STATUS)], "5, request 1", 1),
        ] {
            let (answer, asked) = ask(method, path, answers).await;
            assert!(answer.ends_with(said) && asked == times, "{answer}, asked {asked} times, in place of {said}");
        }
    }

    #[tokio::test]
    async fn what_is_not_kubernetes_is_told_from_its_errors() {
        let [foreign, no_websocket] = [
            "no Kubernetes API answers there, but something else: ",
            "no websocket is let through to the API server: ",
        ];
        for (path, answer, begin, said) in [
            ("/api", &[(403, &[JSON][..], STATUS)], "", "403"),
            ("/apis/none", &[(404, &[TEXT, (AUDIT_ID, "1")], "404 page not found")], "", "404"),
            ("/a/log", &[(200, &[TEXT], "a line")], "", "200"),
            // A gateway's own words.
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
            ("/exec", &[(502, &[TEXT, (AUDIT_ID, "1")], "no")], no_websocket, "502 Bad Gateway, text/plain, no"),
            ("/exec", &[(200, &[JSON], "{}")], no_websocket, "200 OK, application/json, {}"),
        ] {
            let (seen, _) = ask(Method::GET, path, answer).await;
            assert_eq!(seen.trim_start_matches("ServiceError: "), format!("{begin}{said}"), "{path}");
        }
        let (stripped, _) = ask(Method::GET, "/exec", &[(400, &[JSON], STRIPPED)]).await;
        assert!(stripped.contains(no_websocket) && stripped.contains("Upgrade request required"), "{stripped}");
    }
}
