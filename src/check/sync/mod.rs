//! The way of files from the export to the tester's folder.

pub mod cadence;
pub mod file_sync;
mod log;
pub mod multi_write;
mod way;
