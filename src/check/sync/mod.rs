//! The way of files from the export to the tester's folder.

pub mod cadence;
mod delivery;
pub mod file_sync;
mod log;
pub mod multi_write;
mod profile;
mod search;
mod tail;
mod trail;
pub mod way;
