//! A file's route from the export to the host folder.

mod checkpoint;
pub mod delivery;
pub mod file_sync;
mod log;
pub mod log_cadence;
pub mod multi_write;
pub mod route;
mod samples;
pub mod search;
pub mod trace;
