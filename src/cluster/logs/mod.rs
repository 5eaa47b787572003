//! Containers' logs, fetched or followed.

mod cycle;
mod follow;
mod log;
mod patterns;
mod sync_log;

pub use cycle::CycleLog;
pub use follow::{Cycles, QUIET};
pub use log::LogLine;
pub use patterns::{LogPatterns, is_copy_error};
pub use sync_log::{Cycle, SyncLog};
