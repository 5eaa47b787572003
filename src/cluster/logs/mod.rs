//! What containers' logs say, read once or followed.

mod cycle;
mod follow;
mod log;

pub use cycle::{CycleLog, Marks};
pub use follow::{Cycles, QUIET};
pub use log::{LogLine, is_last_word};
