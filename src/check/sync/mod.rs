//! The way of files from the export to the tester's folder.

pub mod cadence;
mod delivery;
pub mod file_sync;
pub mod ground;
mod log;
mod looks;
pub mod multi_write;
mod pause;
mod profile;
pub mod scene;
pub mod search;
mod tail;
pub mod trail;
pub mod way;
mod work;
