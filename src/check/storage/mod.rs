//! The host folder, the export, and how the NFS server serves it.

pub mod export_options;
pub mod fsid;
pub mod host_folder;
pub mod host_mount;
pub mod isolation;
pub mod subfolder;

pub use host_mount::{HostMount, remount_hint};
