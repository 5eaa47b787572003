//! How a session with an NFS server fails. Types only.

use serde::{Deserialize, Serialize};

use crate::check::server_exits::ServerExit;
use crate::event::Verdict;

/// Stands for a call while there is no connection yet.
pub const CONNECT: &str = "connect";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub call: String,
    #[serde(rename = "what")]
    pub cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// No reply before the deadline of the call or the session.
    Silent,
    /// The node cannot be reached, maybe because of the network.
    Unreachable(String),
    /// The port-forward itself failed, with the node's error.
    Broken(String),
    /// The server refused or closed the connection.
    Ended(String),
    Exited(Box<ServerExit>),
    /// The server rejected the call, or replied with a status other than OK.
    Refused(String),
    /// The reply is invalid: what it should contain, and what it contains.
    Wrong(String, String),
}

pub type CallResult<T> = Result<T, Failure>;

pub enum Abort<T = Failure> {
    /// The server or the route to it failed: evidence to judge.
    Failed(T),
    /// Something else failed, which proves nothing about the server.
    Inconclusive(Verdict),
}

impl<T> Abort<T> {
    pub fn into_failed(self) -> Result<T, Verdict> {
        match self {
            Self::Failed(failure) => Ok(failure),
            Self::Inconclusive(verdict) => Err(verdict),
        }
    }
}

impl From<Failure> for Abort {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<T> From<Verdict> for Abort<T> {
    fn from(verdict: Verdict) -> Self {
        Self::Inconclusive(verdict)
    }
}

impl Failure {
    pub fn invalid_reply(call: &str, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { call: call.to_owned(), cause: Cause::Wrong(expected.into(), seen.into()) }
    }

    /// The status that the server refused the call with; empty for other failures.
    pub fn status(&self) -> &str {
        if let Cause::Refused(status) = &self.cause { status } else { "" }
    }
}
