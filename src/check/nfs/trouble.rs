//! What goes wrong with an NFS server, or on the way to it. Types only.

use serde::{Deserialize, Serialize};

use crate::check::exits::Exit;
use crate::event::Verdict;

/// What is done before the first call.
pub const CONNECT: &str = "connect";

/// A call that did not work, or the connection before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub call: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// No answer in the call's time, or in the session's.
    Silent,
    /// The node was not reached, which may be the network's fault; how that showed.
    Unreachable(String),
    /// The port-forward has a trouble of its own; what the node says.
    Broken(String),
    /// The connection was not taken, or ended; why.
    Ended(String),
    Exited(Box<Exit>),
    /// The answer is a status other than OK, or a refusal of the call.
    Refused(String),
    /// The answer is none to what was asked; what was expected, and what was seen.
    Wrong(String, String),
}

pub type Answer<T> = Result<T, Trouble>;

/// Why something did not come to its end.
pub enum Halt<T = Trouble> {
    /// Because of the server, or of the way to it: that is judged.
    Judged(T),
    /// Because of something that says nothing of the server: the verdict of the test.
    Unknown(Verdict),
}

impl<T> Halt<T> {
    pub fn judged(self) -> Result<T, Verdict> {
        match self {
            Self::Judged(seen) => Ok(seen),
            Self::Unknown(verdict) => Err(verdict),
        }
    }
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Judged(trouble)
    }
}

impl<T> From<Verdict> for Halt<T> {
    fn from(verdict: Verdict) -> Self {
        Self::Unknown(verdict)
    }
}

impl Trouble {
    /// The status that the server refused the call with; empty if it did not.
    pub fn status(&self) -> &str {
        if let What::Refused(status) = &self.what { status } else { "" }
    }
}

/// An answer to a call that is none.
pub fn wrong(call: &str, expected: impl Into<String>, seen: impl Into<String>) -> Trouble {
    Trouble { call: call.to_owned(), what: What::Wrong(expected.into(), seen.into()) }
}
