//! What a server's pod declares, and what its containers do with it.

pub mod init_container;
pub mod native_sidecar;
pub mod no_sidecar;
pub mod quantity;
pub mod resources;
pub mod rsync_delete;
pub mod security;
pub mod sidecar_set_up;
pub mod size_limit;
pub mod usage;
pub mod used;
