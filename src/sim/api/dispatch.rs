//! Dispatches a request to its handler.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Collected};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::reply::{Reply, error, object, stream};
use super::request::{RequestInfo, resource};
use super::{exec, log, objects, port_forward};
use crate::sim::object::text;
use crate::sim::scenario::ApiFault;
use crate::sim::world::World;

/// Handles [`ApiFault::Mute`] here, and passes others to the handlers.
pub(super) async fn dispatch(
    world: &Arc<World>,
    info: RequestInfo,
    mut request: Request<Incoming>,
    fault: Option<ApiFault>,
) -> Reply {
    let mute = |chunks: BoxStream<'static, Bytes>| match fault {
        Some(ApiFault::Mute(after)) => chunks.take_until(sleep(after.unsigned_abs())).chain(stream::pending()).boxed(),
        _ => chunks,
    };
    let response = match (info.verb, info.resource.as_str(), info.kind) {
        ("get", "version", _) => object(&json!({"major": "1", "minor": "34", "gitVersion": "v1.34.4"}), 200),
        ("get", "pods/log", _) if info.is("follow") => stream("text/plain", mute(log::log(world, &info)?)),
        ("get", "pods/log", _) => stream("text/plain", log::log(world, &info)?),
        ("get", "pods/exec", _) => return exec::exec(world, &info, &mut request, fault),
        ("get", "pods/portforward", _) => return port_forward::port_forward(world, &info, &mut request),
        ("get", _, Some(kind)) => object(&objects::get(world, &info, kind)?, 200),
        ("list", _, Some(kind)) => object(&objects::list(world, &info, kind), 200),
        ("watch", _, Some(kind)) => stream("application/json", mute(objects::watch(world, info, kind))),
        ("delete", "pods", _) => object(&objects::delete(world, &info, &body(request).await)?, 200),
        ("create", "selfsubjectaccessreviews.authorization.k8s.io", _) => {
            object(&review_access(world, body(request).await), 201)
        }
        _ => return Err(error(404, &info)),
    };
    Ok((response, None))
}

/// Null if the client has disconnected: nothing reads the reply then.
async fn body(request: Request<Incoming>) -> Value {
    let bytes = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn review_access(world: &World, mut review: Value) -> Value {
    let attribute = |key: &str| text(&review["spec"]["resourceAttributes"][key]);
    let (_, resource) = resource(attribute("group"), "v1", attribute("resource"), attribute("subresource"));
    let fault = world.scenario.api_fault(attribute("verb"), &resource, world.elapsed());
    review["status"] = json!({"allowed": fault != Some(ApiFault::Status(403))});
    review
}
