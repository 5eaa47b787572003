//! From a request to its answer, or to what the scenario does instead.

use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, PoisonError};

use futures::stream::{self, BoxStream, StreamExt};
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::World;
use super::super::object::text;
use super::super::scenario::{Answer, Span};
use super::super::store::Kind;
use super::failure::{self, Failure};
use super::request::Asked;
use super::{Connection, Later, exec, log, objects, port_forward, watch};

/// The body of an answer: one piece, or more as there is more to say.
pub(super) type Body = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// An answer, and what is left to do after it.
pub(super) type Answered = Result<(Response<Body>, Option<Later>), Failure>;

pub(super) async fn answer(connection: &Connection, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let world = &connection.world;
    let number = world.asked();
    let elapsed = world.elapsed();
    let asked = Asked::read(request.method(), request.uri(), request.headers());
    let now = world.scenario.answer(asked.verb, &asked.resource, elapsed);
    if let Some(answer @ (Answer::Closed | Answer::Silence)) = now {
        connection.end.send_replace(Some((elapsed, answer)));
        return pending().await;
    }
    connection.end.send_replace(world.scenario.later(asked.verb, &asked.resource, elapsed));
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let answered = match now {
        _ if token != Some(&connection.token) => Err(failure::of(401, &asked)),
        Some(Answer::Status(code)) => Err(failure::of(code, &asked)),
        Some(Answer::Busy { each, seconds }) if number.is_multiple_of(each) => Err(failure::busy(seconds, &asked)),
        Some(Answer::Page(code)) => Ok((page(code), None)),
        _ => dispatch(world, asked, request, now).await,
    };
    let mut response = match answered {
        Ok((response, later)) => {
            *connection.later.lock().unwrap_or_else(PoisonError::into_inner) = later;
            response
        }
        Err(failure) => {
            let mut response = object(&failure, failure.code);
            if let Some(seconds) = failure.details.as_ref().map(|details| details.retry_after_seconds) {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            response
        }
    };
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&world.now());
    if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

async fn dispatch(world: &Arc<World>, asked: Asked, mut request: Request<Incoming>, now: Option<Answer>) -> Answered {
    let is_half = now == Some(Answer::Half);
    let mute = |chunks: BoxStream<'static, Bytes>| match now {
        Some(Answer::Mute(Span(after))) => chunks.take_until(sleep(after)).chain(stream::pending()).boxed(),
        _ => chunks,
    };
    let response = match (asked.verb, asked.resource.as_str(), asked.kind) {
        ("get", "version", _) => object(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4"}), 200),
        ("get", "pods/log", _) if asked.is("follow") => response("text/plain", mute(log::log(world, &asked)?)),
        ("get", "pods/log", _) => response("text/plain", log::log(world, &asked)?),
        ("get", "pods/exec", _) => return exec::exec(world, &asked, &mut request, is_half),
        ("get", "pods/portforward", _) => return port_forward::port_forward(world, &asked, &mut request),
        ("get", _, Some(kind)) => object(&objects::get(world, &asked, kind)?, 200),
        ("list", _, Some(kind)) => object(&objects::list(world, &asked, kind), 200),
        ("watch", _, Some(kind)) => response("application/json", mute(watch::watch(world, asked, kind))),
        ("delete", "pods", _) => object(&objects::delete(world, &asked, &body(request).await)?, 200),
        ("create", "selfsubjectaccessreviews.authorization.k8s.io", _) => {
            object(&review_access(world, body(request).await), 201)
        }
        _ => return Err(failure::of(404, &asked)),
    };
    Ok((response, None))
}

/// What was sent; nothing of whoever goes meanwhile, who gets no answer.
async fn body(request: Request<Incoming>) -> Value {
    let sent = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    serde_json::from_slice(&sent).unwrap_or_default()
}

/// Whether the user may do something: whatever the scenario does not forbid.
fn review_access(world: &World, mut review: Value) -> Value {
    let asked = |key: &str| text(&review["spec"]["resourceAttributes"][key]);
    let (group, plural) = (asked("group"), asked("resource"));
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    let resource =
        if Kind::named(&version, plural).is_some() { plural.to_owned() } else { format!("{plural}.{group}") };
    let resource = [resource.trim_end_matches('.'), asked("subresource")].join("/");
    let answer = world.scenario.answer(asked("verb"), resource.trim_end_matches('/'), world.elapsed());
    review["status"] = json!({"allowed": answer != Some(Answer::Status(403))});
    review
}

/// A page of whatever is on the way.
fn page(code: u16) -> Response<Body> {
    let mut response = response("text/html", stream::iter(["<html>Who are you?</html>".into()]).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY);
    if response.status().is_redirection() {
        let place = "https://login.example/start?state=secret";
        response.headers_mut().insert(LOCATION, HeaderValue::from_static(place));
    }
    response
}

fn object(object: &impl Serialize, code: u16) -> Response<Body> {
    let text = json!(object).to_string();
    let mut response = response("application/json", stream::iter([text.into()]).boxed());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn response(kind: &'static str, chunks: BoxStream<'static, Bytes>) -> Response<Body> {
    let mut response = Response::new(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk))).boxed()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
