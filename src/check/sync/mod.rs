//! A file's route from the export to the host folder.

pub mod cadence;
mod checkpoint;
pub mod delivery;
pub mod file_sync;
mod log;
pub mod multi_write;
pub mod route;
mod samples;
pub mod search;
pub mod trace;
