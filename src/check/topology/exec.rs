//! Runs commands in any server's pod, to observe the cluster from inside.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::Site;
use crate::cluster::container;
use crate::cluster::{End, Operation};
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    pub place: String,
    pub code: i32,
    pub text: String,
}

/// The shell's exit code for a missing program.
pub const NOT_FOUND: i32 = 127;

/// A Ready pod with a running export container, of a `preferred` server if possible. Waits for one until rollouts
/// must have settled.
pub async fn ready_pod(site: &Site, preferred: impl Fn(&str) -> bool) -> Result<Arc<Pod>, Verdict> {
    let container = &site.system.export.container;
    let expected = format!("a Ready pod that runs {container}, to run commands in");
    let snapshot = site
        .settled(None, |snapshot| snapshot.ready(&site.system.pods, container).is_empty().then(|| expected.clone()))
        .await?;
    let ready = snapshot.ready(&site.system.pods, container);
    // A pod that is being rolled out may end before the command does.
    let is_pending = |server: &str| snapshot.server(&site.system.pods, server).rollout_state().pending().is_some();
    let none = || site.blocked(Reason::new("the servers' pods", expected.clone(), "none"));
    let found = ready.into_iter().min_by_key(|(server, _)| (is_pending(server), !preferred(server)));
    found.map(|(_, pod)| pod).ok_or_else(none)
}

pub async fn exec(site: &Site, pod: &Pod, operation: &Operation) -> Result<Executed, Verdict> {
    let (output, _) = site.in_export(pod, operation).await?;
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    let code = if let End::Exited(code) = output.end { code } else { -1 };
    Ok(Executed { place: container::label(pod, &site.system.export.container), code, text })
}
