//! Deadlines of requests to the API server.

use std::time::Duration;

pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// For a command, from when its turn begins: a node short of CPU needs seconds for each.
pub const COMMAND: Duration = Duration::from_secs(30);
