//! From what was asked to its answer.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Collected};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::reply::{Answered, object, of, stream};
use super::request::{Asked, resource};
use super::{exec, log, objects, port_forward};
use crate::sim::object::text;
use crate::sim::scenario::Answer;
use crate::sim::world::World;

/// The answer, or what of it the scenario lets through.
pub(super) async fn answer(
    world: &Arc<World>,
    asked: Asked,
    mut request: Request<Incoming>,
    instead: Option<Answer>,
) -> Answered {
    let mute = |chunks: BoxStream<'static, Bytes>| match instead {
        Some(Answer::Mute(after)) => chunks.take_until(sleep(after.unsigned_abs())).chain(stream::pending()).boxed(),
        _ => chunks,
    };
    let response = match (asked.verb, asked.resource.as_str(), asked.kind) {
        ("get", "version", _) => object(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4"}), 200),
        ("get", "pods/log", _) if asked.is("follow") => stream("text/plain", mute(log::log(world, &asked)?)),
        ("get", "pods/log", _) => stream("text/plain", log::log(world, &asked)?),
        ("get", "pods/exec", _) => return exec::exec(world, &asked, &mut request, instead),
        ("get", "pods/portforward", _) => return port_forward::port_forward(world, &asked, &mut request),
        ("get", _, Some(kind)) => object(&objects::get(world, &asked, kind)?, 200),
        ("list", _, Some(kind)) => object(&objects::list(world, &asked, kind), 200),
        ("watch", _, Some(kind)) => stream("application/json", mute(objects::watch(world, asked, kind))),
        ("delete", "pods", _) => object(&objects::delete(world, &asked, &body(request).await)?, 200),
        ("create", "selfsubjectaccessreviews.authorization.k8s.io", _) => {
            object(&review_access(world, body(request).await), 201)
        }
        _ => return Err(of(404, &asked)),
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
    let (_, resource) = resource(asked("group"), "v1", asked("resource"), asked("subresource"));
    let answer = world.scenario.answer(asked("verb"), &resource, world.elapsed());
    review["status"] = json!({"allowed": answer != Some(Answer::Status(403))});
    review
}
