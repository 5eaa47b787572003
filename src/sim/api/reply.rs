//! What requests get: an object, more as there is more to say, a page, or a failure in Kubernetes' words. Imports what was asked.

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

use super::request::Asked;

const USER: &str = "simulated";

pub(super) type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// An answer, and what is left to do after it.
pub(super) type Answered = Result<(Response<Body>, Option<Later>), Failure>;

pub(super) type Later = BoxFuture<'static, ()>;

pub(super) type Failure = Box<Status>;

pub(super) fn stream(kind: &'static str, chunks: BoxStream<'static, Bytes>) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk))).boxed()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn whole(kind: &'static str, text: String, code: u16) -> Response<Body> {
    let mut response = stream(kind, stream::iter([text.into()]).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

pub(super) fn object(object: &impl Serialize, code: u16) -> Response<Body> {
    whole("application/json", json!(object).to_string(), code)
}

pub(super) fn page(code: u16) -> Response<Body> {
    let mut response = whole("text/html", "<html>Who are you?</html>".to_owned(), code);
    if response.status().is_redirection() {
        let place = "https://login.example/start?state=secret";
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(place));
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

pub(super) fn new(code: u16, reason: &str, message: &str) -> Failure {
    Status::failure(message, reason).with_code(code).boxed()
}

pub(super) fn bad(message: &str) -> Failure {
    new(400, "BadRequest", message)
}

pub(super) fn not_found(asked: &Asked) -> Failure {
    new(404, "NotFound", &format!("{} not found", subject(asked)))
}

/// What an API server may say with that code to any request.
pub(super) fn of(code: u16, asked: &Asked) -> Failure {
    match code {
        401 => new(code, "Unauthorized", "Unauthorized"),
        403 => new(code, "Forbidden", &forbidden(asked)),
        404 => new(code, "NotFound", "the server could not find the requested resource"),
        _ => new(code, "InternalError", "Internal error occurred: the scenario says so"),
    }
}

/// The API server has too much to do, and asks to come again after so many seconds.
pub(super) fn busy(seconds: u32) -> Failure {
    let message = "the server has received too many requests and has asked us to try again later";
    let mut failure = new(429, "TooManyRequests", message);
    failure.details = serde_json::from_value(json!({"retryAfterSeconds": seconds})).ok();
    failure
}

/// The resource with its group, and the object.
fn subject(asked: &Asked) -> String {
    let plural = asked.resource.split('/').next().unwrap_or_default();
    let group = if asked.group.is_empty() { String::new() } else { format!(".{}", asked.group) };
    let name = asked.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    format!("{plural}{group}{name}")
}

fn forbidden(asked: &Asked) -> String {
    let Asked { verb, group, resource, .. } = asked;
    let scope = asked.namespace.as_ref();
    let scope = scope.map_or("at the cluster scope".to_owned(), |name| format!("in the namespace \"{name}\""));
    let what = format!("cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}");
    format!("{} is forbidden: User \"{USER}\" {what}", subject(asked))
}
