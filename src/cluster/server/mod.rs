//! One server of the release as the API shows it: its objects, what keeps its pods from coming, whether it has settled.

mod objects;
mod obstacle;
mod settlement;

pub use objects::{Announced, Server, counted, has_ended, is_ready, is_terminating, phase};
pub use obstacle::Obstacle;
pub(super) use obstacle::{PATIENCE, unscheduled};
pub use settlement::{Settlement, progress};
