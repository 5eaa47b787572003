//! What containers' logs say, read once or followed.

mod cycle;
mod follow;
mod log;
mod sync_log;
mod words;

pub use cycle::CycleLog;
pub use follow::{Cycles, QUIET};
pub use log::LogLine;
pub use sync_log::{Cycle, SyncLog};
pub use words::{Words, tells_error};
