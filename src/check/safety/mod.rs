//! Nothing of a tester's is lost or bent on the way from the export to the host folder.
//!
//! Each test writes into a folder of its own, named after the run, so that also a temporary of rsync's goes with it.

pub mod extraneous_files;
pub mod file_names;
pub mod file_tree;
pub mod file_update;
pub mod large_file;
mod sizes;
