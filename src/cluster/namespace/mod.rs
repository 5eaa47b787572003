//! What is in the namespace, kept up to date by watches, and whose it is.

mod autoscaler;
mod changes;
mod population;
mod store;
mod watch;

pub use changes::Changes;
pub use population::{Network, Population};
pub use watch::Watch;
