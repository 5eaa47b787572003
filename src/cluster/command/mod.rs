//! Commands in containers: the operations, batches of them, and their results.

pub mod batch;
mod exec;
mod operation;

pub use exec::{End, Output};
pub use operation::{Operation, gathered};
