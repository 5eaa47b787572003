//! The host folder, the export, and what the NFS server makes of it.

pub mod export_options;
pub mod fsid;
pub mod host_folder;
pub mod host_mount;
pub mod isolation;
pub mod subfolder;

pub use host_mount::{HostMount, remount};
