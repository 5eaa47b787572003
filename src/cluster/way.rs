//! What lies on the way to the API server: what answers in its place, and requests that are to come again later.

use std::time::Duration;

use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Collected, Limited};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ANSWER, tls};

const AGAIN: u32 = 10;
/// Source: `WithAuditInit` of Kubernetes' `apiserver`, which gives it to every answer, also to those that are plain text.
const AUDIT_ID: &str = "audit-id";

/// How the kubelet begins its own words, where the API server passes a websocket through to it.
const KUBELET: [&str; 3] = ["unable to upgrade connection", "pod does not exist", "container not found"];

/// Why there is no answer of the API server's own.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    #[error("no Kubernetes API answers there, but something else: {0}")]
    Foreign(String),
    #[error("no websocket is let through to the API server: {0}")]
    NoWebsocket(String),
    #[error("{0}")]
    Tls(tls::Fault),
    /// Something drops what is sent there.
    #[error("no connection was made within {} s, nor was one refused", .0.as_secs())]
    Dropped(Duration),
    /// It would have to be asked later than an answer is waited for.
    #[error("the API server is busy: {0}")]
    Busy(String),
}

impl Trouble {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Foreign(_) => "look at the server's URL in the kubeconfig, at the proxy and at the VPN",
            Self::NoWebsocket(_) => "let websockets pass there; `kubectl exec` proves nothing: it falls back on SPDY",
            Self::Tls(fault) => fault.hint,
            Self::Dropped(_) => {
                "look at the server's address in the kubeconfig, whether its machine runs, and whether a firewall or a VPN that \
                 is off drops what is sent there"
            }
            Self::Busy(_) => "wait for as long as it asks, then run again",
        }
    }
}

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
            let said = format!("{}, Retry-After: {said}, request {times}", response.status());
            return Err(Trouble::Busy(said).into());
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
        return Err(Trouble::Tls(tls::Fault::of_http()).into());
    }
    let text = if kind == "text/html" { String::new() } else { text.trim().chars().take(200).collect() };
    let parts = [status.to_string(), kind, place, text].into_iter();
    let said = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    Err(if is_upgrade { Trouble::NoWebsocket(said) } else { Trouble::Foreign(said) }.into())
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
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::*;
    use tower::BoxError;

    const STATUS: &str = r#"{"kind":"Status","status":"Failure","message":"no","code":429}"#;

    /// An answer: code, headers, body.
    type Canned = (u16, &'static [(&'static str, &'static str)], &'static str);

    /// What becomes of a request that gets these answers, one after the other and the last for ever; how many were asked for.
    async fn ask(method: Method, path: &str, headers: &[(&str, &str)], answers: &[Canned]) -> (String, usize) {
        let left: Arc<Mutex<VecDeque<Canned>>> = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let server = tower::service_fn(move |_: Request<Body>| {
            *count.lock().unwrap() += 1;
            let mut left = left.lock().unwrap();
            let (code, headers, body) = if left.len() > 1 { left.pop_front().unwrap() } else { left[0] };
            let answer =
                headers.iter().fold(Response::builder().status(code), |all, (key, value)| all.header(*key, *value));
            std::future::ready(Ok::<_, BoxError>(answer.body(Body::from(body.as_bytes().to_vec())).unwrap()))
        });
        let request = headers
            .iter()
            .fold(Request::builder().method(method).uri(path), |all, (key, value)| all.header(*key, *value));
        let answer = guarded(Client::new(server, "default")).send(request.body(Body::empty()).unwrap()).await;
        let answer = answer.map_or_else(|error| error.to_string(), |answer| answer.status().as_u16().to_string());
        let asked = *asked.lock().unwrap();
        (answer, asked)
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    const WEBSOCKET: &[(&str, &str)] = &[("upgrade", "websocket")];

    #[tokio::test]
    async fn what_asks_to_come_again_is_asked_again_and_no_command_that_may_have_run() {
        let busy: Canned = (429, &[JSON, ("retry-after", "0")], STATUS);
        let down: Canned = (503, &[JSON, ("retry-after", "0")], STATUS);
        let (ok, upgraded): (Canned, Canned) = ((200, &[JSON], "{}"), (101, &[], ""));
        let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        assert_eq!(ask(Method::GET, "/api", &[], &[busy, down, (429, &[], ""), ok]).await, ("200".into(), 4));
        assert_eq!(ask(Method::POST, review, &[], &[busy, ok]).await, ("200".into(), 2));
        assert_eq!(ask(Method::DELETE, "/api/v1/pods/a", &[], &[busy, ok]).await, ("429".into(), 1));
        assert_eq!(ask(Method::GET, "/api", &[], &[(503, &[JSON], STATUS), ok]).await, ("503".into(), 1), "no wish");
        assert_eq!(ask(Method::GET, "/exec", WEBSOCKET, &[busy, upgraded]).await, ("101".into(), 2));
        assert_eq!(ask(Method::GET, "/exec", WEBSOCKET, &[down, upgraded]).await, ("503".into(), 1));
        let (said, asked) = ask(Method::GET, "/api", &[], &[busy]).await;
        assert!(asked == 11 && said.contains("429 Too Many Requests, Retry-After: 0, request 11"), "{said}");
        for late in [&[("retry-after", "60")], &[("retry-after", "10")], &[("retry-after", "18446744073709551615")]] {
            let (said, asked) = ask(Method::GET, "/api", &[], &[(429, late, STATUS)]).await;
            assert!(asked == 1 && said.contains(late[0].1), "{said}");
        }
    }

    #[tokio::test]
    async fn what_is_not_kubernetes_is_told_from_its_errors() {
        let says = async |path: &str, headers: &[(&str, &str)], answer: Canned| {
            ask(Method::GET, path, headers, &[answer]).await.0
        };
        assert_eq!(says("/api", &[], (403, &[JSON], STATUS)).await, "403");
        assert_eq!(says("/apis/none", &[], (404, &[TEXT, (AUDIT_ID, "1")], "404 page not found")).await, "404");
        assert_eq!(says("/a/log", &[], (200, &[TEXT], "a line")).await, "200");
        assert_eq!(says("/api", &[], (401, &[JSON], "{}")).await, "401", "a gateway's own words");
        for (path, answer, part) in [
            ("/version", (200, &[HTML][..], "<html>"), "200 OK, text/html"),
            ("/a/log", (200, &[HTML], "<html>"), "200 OK, text/html"),
            ("/version", (200, &[TEXT], "hello"), "200 OK, text/plain, hello"),
            ("/version", (404, &[TEXT], "404 page not found"), "404 Not Found, text/plain, 404 page not found"),
            ("/version", (502, &[HTML], "<html>"), "502 Bad Gateway, text/html"),
            ("/version", (403, &[JSON], "{}"), "403 Forbidden, application/json, {}"),
            (
                "/version",
                (302, &[HTML, ("location", "https://me:pw@sso.example/start?state=secret#a")], ""),
                "302 Found, text/html, Location: https://sso.example/start",
            ),
            ("/version", (303, &[("location", "/login?next=secret")], ""), "303 See Other, Location: /login"),
        ] {
            let said = says(path, &[], answer).await;
            assert!(said.contains("no Kubernetes API answers there") && said.ends_with(part), "{said}");
        }
    }

    #[tokio::test]
    async fn a_websocket_that_is_not_let_through_is_no_want_of_permission() {
        let stripped = r#"{"kind":"Status","status":"Failure","message":"Upgrade request required","code":400}"#;
        assert_eq!(ask(Method::GET, "/exec", WEBSOCKET, &[(403, &[JSON], STATUS)]).await.0, "403");
        let ended = "unable to upgrade connection: container not found (\"nfs-server\")\n";
        assert_eq!(ask(Method::GET, "/exec", WEBSOCKET, &[(500, &[TEXT], ended)]).await.0, "500", "by the kubelet");
        for (answer, part) in [
            ((403, &[HTML][..], "<html>"), "403 Forbidden, text/html"),
            ((502, &[TEXT, (AUDIT_ID, "1")], "upstream"), "502 Bad Gateway, text/plain, upstream"),
            ((400, &[JSON], stripped), "Upgrade request required"),
            ((200, &[JSON], "{}"), "200 OK"),
        ] {
            let (said, _) = ask(Method::GET, "/exec", WEBSOCKET, &[answer]).await;
            assert!(said.contains("no websocket is let through") && said.contains(part), "{said}");
        }
    }
}
