//! Replies to requests: an object, a stream, an HTML page, or a Kubernetes Status. Imports the request.

use std::convert::Infallible;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use kube::core::Status;
use serde::Serialize;
use serde_json::json;

use super::request::RequestInfo;

const USER: &str = "simulated";

pub(super) type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

pub(super) type Reply = Result<(Response<Body>, Option<Upgrade>), Failure>;

/// The work on a websocket, done after the response has been sent.
pub(super) type Upgrade = BoxFuture<'static, ()>;

pub(super) type Failure = Box<Status>;

pub(super) fn stream(kind: &'static str, chunks: BoxStream<'static, Bytes>) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk))).boxed()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn complete(kind: &'static str, text: String, code: u16) -> Response<Body> {
    let mut response = stream(kind, stream::iter([text.into()]).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

pub(super) fn object(object: &impl Serialize, code: u16) -> Response<Body> {
    complete("application/json", json!(object).to_string(), code)
}

pub(super) fn page(code: u16) -> Response<Body> {
    let mut response = complete("text/html", "<html>Log in</html>".to_owned(), code);
    if response.status().is_redirection() {
        let location = "https://login.example/start?state=secret";
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    }
    response
}

pub(super) fn failed(failure: &Failure) -> Response<Body> {
    let mut response = object(failure, failure.code);
    if let Some(details) = &failure.details {
        response.headers_mut().insert(RETRY_AFTER, details.retry_after_seconds.into());
    }
    response
}

pub(super) fn failure(code: u16, reason: &str, message: &str) -> Failure {
    Status::failure(message, reason).with_code(code).boxed()
}

pub(super) fn bad_request(message: &str) -> Failure {
    failure(400, "BadRequest", message)
}

pub(super) fn not_found(info: &RequestInfo) -> Failure {
    failure(404, "NotFound", &format!("{} not found", subject(info)))
}

pub(super) fn error(code: u16, info: &RequestInfo) -> Failure {
    match code {
        401 => failure(code, "Unauthorized", "Unauthorized"),
        403 => failure(code, "Forbidden", &forbidden(info)),
        404 => failure(code, "NotFound", "the server could not find the requested resource"),
        _ => failure(code, "InternalError", "Internal error occurred: simulated by the scenario"),
    }
}

pub(super) fn too_many_requests(seconds: u32) -> Failure {
    let message = "the server has received too many requests and has asked us to try again later";
    let mut busy = failure(429, "TooManyRequests", message);
    busy.details = serde_json::from_value(json!({"retryAfterSeconds": seconds})).ok();
    busy
}

/// The resource, its API group and the object's name, as Kubernetes' messages name them.
fn subject(info: &RequestInfo) -> String {
    let plural = info.resource.split('/').next().unwrap_or_default();
    let group = if info.group.is_empty() { String::new() } else { format!(".{}", info.group) };
    let name = info.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    format!("{plural}{group}{name}")
}

fn forbidden(info: &RequestInfo) -> String {
    let RequestInfo { verb, group, resource, .. } = info;
    let scope = info.namespace.as_ref();
    let scope = scope.map_or("at the cluster scope".to_owned(), |name| format!("in the namespace \"{name}\""));
    let what = format!("cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}");
    format!("{} is forbidden: User \"{USER}\" {what}", subject(info))
}
