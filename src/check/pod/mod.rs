//! Checks of a server's pod: its spec, and how its containers run.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::Site;
use crate::cluster::container::{self, View};
use crate::event::{Reason, Verdict};

pub mod init_container;
pub mod native_sidecar;
pub mod no_sidecar;
pub mod quantity;
pub mod resources;
pub mod rsync_delete;
pub mod security;
pub mod sidecar_set_up;
pub mod size_limit;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod used;

/// An observation that consists of the pod alone.
#[derive(Debug, Serialize, Deserialize)]
pub struct OnlyPod {
    pod: Arc<Pod>,
}

impl OnlyPod {
    async fn observe(site: &Site) -> Result<Self, Verdict> {
        Ok(Self { pod: site.pod().await?.0 })
    }
}

/// The init container of that name, or the reason to fail without it.
fn init<'a>(pod: &'a Pod, name: &str) -> Result<View<'a>, Reason> {
    container::named(pod, name).filter(|view| view.kind == container::Kind::Init).ok_or_else(|| {
        let found = format!("no such init container; the pod has {}", container::names(pod));
        Reason::new(container::label(pod, name), "an init container", found)
    })
}
