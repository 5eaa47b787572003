//! From a request to its answer, or to what the scenario does instead.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use futures::stream::{self, BoxStream};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::super::World;
use super::super::scenario::Answer;
use super::failure::Failure;
use super::fault::{Body, Cut, Faults};
use super::request::Asked;
use super::{Later, Server, exec, log, object, port_forward, watch};

/// What is answered.
enum Answered {
    /// An object.
    Object(StatusCode, Value),
    /// Text that may go on, with its type.
    Stream(&'static str, BoxStream<'static, Bytes>),
    /// The upgrade to a websocket, and what is done there.
    Upgrade(Response<Body>, Later),
}

/// Answers a request, and leaves what is to be done after an upgrade.
pub(super) async fn answer(
    server: &Server,
    mut request: Request<Incoming>,
    later: &Mutex<Option<Later>>,
) -> Result<Response<Body>, Cut> {
    let asked = Asked::read(request.method(), request.uri(), request.headers());
    let faults = Faults::of(&server.world, &asked);
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let answered = match faults.now {
        Some(Answer::Closed) => return Err(Cut),
        Some(Answer::Silence) => pending().await,
        _ if token != Some(&server.token) => Err(Failure::of(401, &asked)),
        Some(Answer::Status(code)) => Err(Failure::of(code, &asked)),
        Some(Answer::Half) | None => {
            let body = request.body_mut().collect().await.map_err(|_| Cut)?.to_bytes();
            dispatch(&server.world, asked, &mut request, &body, &faults)
        }
    };
    let mut response = match answered {
        Ok(Answered::Object(status, object)) => whole(status, &object, faults),
        Ok(Answered::Stream(kind, chunks)) => typed(StatusCode::OK, kind, faults.body(chunks)),
        Ok(Answered::Upgrade(response, work)) => {
            *later.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
            response
        }
        Err(failure) => {
            let status = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = whole(status, &failure.status(), faults);
            if failure.code == 429 {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    };
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&server.world.now());
    if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    Ok(response)
}

fn dispatch(
    world: &Arc<World>,
    asked: Asked,
    request: &mut Request<Incoming>,
    body: &[u8],
    faults: &Faults,
) -> Result<Answered, Failure> {
    let object = |object| Answered::Object(StatusCode::OK, object);
    match (asked.verb, asked.resource.as_str(), asked.kind) {
        ("get", "version", _) => Ok(object(version())),
        ("create", "selfsubjectaccessreviews", _) => Ok(Answered::Object(StatusCode::CREATED, review(world, body)?)),
        ("get", "pods/log", _) => Ok(Answered::Stream("text/plain", log::log(world, &asked)?)),
        ("get", "pods/exec", _) => exec::exec(world, &asked, request, faults.clone())
            .map(|(response, later)| Answered::Upgrade(response, later)),
        ("get", "pods/portforward", _) => {
            let forwarded = port_forward::port_forward(world, &asked, request, faults.clone());
            forwarded.map(|(response, later)| Answered::Upgrade(response, later))
        }
        ("get", _, Some(kind)) => object::get(world, &asked, kind).map(object),
        ("list", _, Some(kind)) => object::list(world, &asked, kind).map(object),
        ("watch", _, Some(kind)) => Ok(Answered::Stream("application/json", watch::watch(world, asked, kind)?)),
        ("delete", "pods", _) => object::delete(world, &asked, body).map(object),
        (_, _, Some(_)) => Err(Failure::of(405, &asked)),
        _ => Err(Failure::of(404, &asked)),
    }
}

/// An object, or its first half.
fn whole(status: StatusCode, object: &Value, faults: Faults) -> Response<Body> {
    let text = Bytes::from(object.to_string());
    let length = text.len();
    let body = if faults.is_half() {
        faults.body(stream::iter([text.slice(..length / 2)]))
    } else {
        Full::new(text).map_err(|never| match never {}).boxed_unsync()
    };
    let mut response = typed(status, "application/json", body);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

fn typed(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "", "gitTreeState": "", "goVersion": "",
        "buildDate": "1970-01-01T00:00:00Z", "compiler": "", "platform": "simulated",
    })
}

/// Whether the user may do something: whatever the scenario does not forbid.
fn review(world: &World, body: &[u8]) -> Result<Value, Failure> {
    let mut review: Value = serde_json::from_slice(body).map_err(|error| Failure::bad(error.to_string()))?;
    let attributes = &review["spec"]["resourceAttributes"];
    let text = |key: &str| attributes[key].as_str().unwrap_or_default();
    let resource = [text("resource"), text("subresource")].join("/");
    let answer = world.scenario.answer(text("verb"), resource.trim_end_matches('/'), world.elapsed());
    review["status"] = json!({"allowed": answer != Some(Answer::Status(403))});
    Ok(review)
}
