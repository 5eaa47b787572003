//! Requests that fail, and the Status objects that say so in Kubernetes' words. Imports what was asked.

use serde_json::{Value, json};

use super::request::Asked;

/// Who the one user is.
const USER: &str = "simulated";

/// Why a request fails.
pub(super) struct Failure {
    /// The HTTP status.
    pub code: u16,
    reason: &'static str,
    message: String,
    /// Null where there are none.
    details: Value,
}

impl Failure {
    /// A failure without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Value::Null }
    }

    /// The request cannot be understood.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// There is no such object.
    pub fn not_found(asked: &Asked) -> Self {
        let message = format!("{} not found", subject(asked));
        Self { details: details(asked), ..Self::new(404, "NotFound", message) }
    }

    /// Another pod has that name now.
    pub fn other_uid(pod: &str, wanted: &str, uid: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on Pod \"{pod}\": the UID in the precondition ({wanted}) does not match the UID \
             in record ({uid}). The object might have been deleted and then recreated"
        );
        Self { details: json!({"name": pod, "kind": "Pod"}), ..Self::new(409, "Conflict", message) }
    }

    /// What an API server may say with that code to any request.
    pub fn of(code: u16, asked: &Asked) -> Self {
        let subject = subject(asked);
        let (reason, message, details) = match code {
            400 => ("BadRequest", "the server rejected our request for an unknown reason".to_owned(), Value::Null),
            401 => ("Unauthorized", "Unauthorized".to_owned(), Value::Null),
            403 => ("Forbidden", forbidden(asked), details(asked)),
            404 => ("NotFound", "the server could not find the requested resource".to_owned(), json!({})),
            405 => {
                let message = "the server does not allow this method on the requested resource";
                ("MethodNotAllowed", message.to_owned(), json!({}))
            }
            409 => {
                let why = "the object has been modified; please apply your changes to the latest version and try again";
                ("Conflict", format!("Operation cannot be fulfilled on {subject}: {why}"), details(asked))
            }
            410 => ("Expired", "The resourceVersion for the provided watch is too old.".to_owned(), Value::Null),
            429 => {
                let message = "the server has received too many requests and has asked us to try again later";
                ("TooManyRequests", message.to_owned(), json!({"retryAfterSeconds": 1}))
            }
            503 => {
                let message = "the server is currently unable to handle the request";
                ("ServiceUnavailable", message.to_owned(), Value::Null)
            }
            _ => {
                let cause = "the scenario says so";
                let details = json!({"causes": [{"message": cause}]});
                ("InternalError", format!("Internal error occurred: {cause}"), details)
            }
        };
        Self { code, reason, message, details }
    }

    /// The Status.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

/// The resource with its group, and the object.
fn subject(asked: &Asked) -> String {
    let group = if asked.group.is_empty() { String::new() } else { format!(".{}", asked.group) };
    let name = asked.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
    format!("{}{group}{name}", asked.plural())
}

fn details(asked: &Asked) -> Value {
    let mut details = json!({"kind": asked.plural()});
    if let Some(name) = &asked.name {
        details["name"] = json!(name);
    }
    if !asked.group.is_empty() {
        details["group"] = json!(asked.group);
    }
    details
}

fn forbidden(asked: &Asked) -> String {
    let Asked { verb, group, resource, .. } = asked;
    if resource == "version" {
        return format!("forbidden: User \"{USER}\" cannot {verb} path \"/{resource}\"");
    }
    // RBAC takes a Namespace for part of itself.
    let own = asked.name.as_ref().filter(|_| resource == "namespaces");
    let scope = asked.namespace.as_ref().or(own);
    let scope = scope.map_or("at the cluster scope".to_owned(), |name| format!("in the namespace \"{name}\""));
    let subject = subject(asked);
    format!(
        "{subject} is forbidden: User \"{USER}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}"
    )
}
