//! The objects in the namespace, kept up to date by watches, and which server each belongs to.

mod autoscaler;
mod changes;
mod population;
mod store;
mod watch;

pub use changes::Changes;
pub use population::{Network, Population};
pub use watch::Watch;
