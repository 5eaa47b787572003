//! Commands in containers: which there are, several in one request, and what came of each.

pub mod batch;
mod exec;
mod operation;

pub use exec::{End, Output};
pub use operation::{Operation, gathered};
