//! Requests that fail, in Kubernetes' words. Imports what was asked.

use kube::core::Status;
use serde_json::json;

use super::request::Asked;

const USER: &str = "simulated";

pub(super) type Failure = Box<Status>;

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
        429 => {
            let message = "the server has received too many requests and has asked us to try again later";
            new(code, "TooManyRequests", message)
        }
        _ => new(code, "InternalError", "Internal error occurred: the scenario says so"),
    }
}

/// The API server has too much to do, and asks to come again after so many seconds.
pub(super) fn busy(seconds: u32, asked: &Asked) -> Failure {
    let mut failure = of(429, asked);
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
