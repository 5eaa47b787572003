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

use k8s_openapi::api::core::v1::Pod;

use crate::cluster::container::{self, View};
use crate::event::Reason;

/// The init container of that name, or why the test fails without it.
fn init<'a>(pod: &'a Pod, name: &str) -> Result<View<'a>, Reason> {
    let view = container::named(pod, name).filter(|view| view.kind == container::Kind::Init);
    view.ok_or_else(|| {
        let found = format!("no such init container; the pod has {}", container::names(pod));
        let hint = "without it the export stays empty: run helm upgrade again";
        Reason::new(container::place(pod, name), "an init container", found).hint(hint)
    })
}
