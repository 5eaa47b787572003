//! Containers' logs, fetched or followed.

mod follow;
mod log;
mod log_state;
mod patterns;
mod sync_log;

pub use follow::{FollowedLog, PAUSE_TIMEOUT};
pub use log::LogLine;
pub use log_state::LogState;
pub use patterns::{LogPatterns, is_copy_error};
pub use sync_log::{Cycle, SyncLog};
