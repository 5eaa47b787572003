//! No tester's file is lost or corrupted on the route from the export to the host folder.
//!
//! Each test writes into its own folder, named after the run, so that rsync's temporary files are removed with it.

pub mod extraneous_files;
pub mod file_names;
pub mod file_tree;
pub mod file_update;
pub mod large_file;
mod sizes;
