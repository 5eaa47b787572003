//! How long what the API server does is waited for.

use std::time::Duration;

/// The longest wait for an answer of the API server.
pub const ANSWER: Duration = Duration::from_secs(10);
/// The longest wait for a connection.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// The longest that a command may take, from when it is its turn: a node that is short of CPU needs seconds for each.
pub const COMMAND: Duration = Duration::from_secs(30);
