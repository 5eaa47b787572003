//! The way of files from the export to the host folder.

pub mod cadence;
mod delivery;
pub mod file_sync;
pub mod ground;
mod log;
pub mod multi_write;
pub mod scene;
pub mod search;
mod stop;
pub mod trail;
