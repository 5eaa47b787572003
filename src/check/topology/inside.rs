//! What only a pod can tell: a command in any server's pod, and what it said.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::Site;
use crate::cluster::container;
use crate::cluster::{End, Operation};
use crate::event::{Reason, Verdict};

/// What a command in a pod said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The container it ran in, for messages.
    pub place: String,
    pub code: i32,
    /// Both its outputs.
    pub text: String,
}

/// The exit code of a shell that has no such program.
pub const NOT_FOUND: i32 = 127;

/// A Ready pod in which the container runs, once rollouts must have settled; `preferred` says of which server's, given several.
pub async fn pod(site: &Site, preferred: impl Fn(&str) -> bool) -> Result<Arc<Pod>, Verdict> {
    let container = &site.system.export.container;
    let expected = format!("one that is Ready and runs {container}, to ask from");
    let population = site
        .settled(None, |population| population.ready(&site.system.pods, container).is_empty().then(|| expected.clone()))
        .await?;
    let ready = population.ready(&site.system.pods, container);
    // Rather one that stays: the pod of a server that is being rolled out may end under the command.
    let is_moving = |server: &str| population.server(&site.system.pods, server).settlement().pending().is_some();
    let none = || site.blocked(Reason::new("the servers' pods", expected.clone(), "none"));
    let found = ready.into_iter().min_by_key(|(server, _)| (is_moving(server), !preferred(server)));
    found.map(|(_, pod)| pod).ok_or_else(none)
}

/// What an operation says in the export's container of a pod; ERROR if nothing is known of its end.
pub async fn ask(site: &Site, pod: &Pod, operation: &Operation) -> Result<Said, Verdict> {
    let (output, _) = site.in_export(pod, operation).await?;
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    // What ended by itself has a code.
    let code = if let End::Exited(code) = output.end { code } else { -1 };
    Ok(Said { place: container::place(pod, &site.system.export.container), code, text })
}
