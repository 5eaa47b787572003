//! The objects in the namespace, kept up to date by watches, and which server each belongs to.

mod autoscaler;
mod changes;
mod snapshot;
mod store;
mod watch;

pub use changes::Changes;
pub use snapshot::{Network, Snapshot};
pub use watch::Watch;
