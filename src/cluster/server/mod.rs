//! One server of the release: its objects, what keeps its pods from being created or scheduled, whether it has settled.

mod objects;
mod obstacle;
mod rollout_state;

pub use objects::{Announced, Server, counted, has_ended, is_ready, is_terminating, phase};
pub use obstacle::Obstacle;
pub(super) use obstacle::{PATIENCE, unscheduled};
pub use rollout_state::{RolloutState, progress};
