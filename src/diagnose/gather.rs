//! Asks what there is to know of a server, side by side; what is not answered is told as that.

use std::cmp::Reverse;
use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::timeout;

use super::{ANSWER, section};
use crate::check::Shared;
use crate::cluster::container::{self, View};
use crate::cluster::server::{has_ended, is_terminating, phase};
use crate::cluster::{ApiError, Population, ResourceExt, Select, Server};
use crate::event::Section;

/// So many pods of a server are looked at: two during a rollout.
const PODS: usize = 2;
/// So many lines of each log.
const LINES: i64 = 20;
/// So much of each log: lines of ordinary length, with room for longer ones.
const BYTES: i64 = 1 << 18;

/// Everything that is to be known of a server.
pub(super) async fn gather(
    shared: &Shared,
    population: Result<&Population, &ApiError>,
    select: &Select,
    name: &str,
) -> Vec<Section> {
    let server = match population {
        Ok(population) => population.server(select, name),
        Err(error) => return vec![section("pods", &[format!("not known: {error}")])],
    };
    let pods = newest(&server);
    let (events, logs) = tokio::join!(events(shared, &server, &pods), logs(shared, &pods));
    let mut sections = vec![section("pods", &states(&pods)), section("warnings", &events)];
    sections.extend(logs);
    sections
}

/// The pods' containers, and how each ended the last time.
fn states(pods: &[Arc<Pod>]) -> Vec<String> {
    let mut lines = Vec::new();
    for pod in pods {
        let deleted = if is_terminating(pod) { ", being deleted" } else { "" };
        lines.push(format!("pod {}: {}{deleted}", pod.name_any(), phase(pod)));
        for view in container::all(pod) {
            lines.push(format!("  container {}, {}: {}", view.name, view.kind, view.describe()));
            let last = view.status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
            lines.extend(last.map(|last| {
                let reason = last.reason.as_deref().unwrap_or("ended");
                format!("    its life before: {reason}, exit code {}", last.exit_code)
            }));
        }
    }
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    lines
}

/// The pods to look at: those that count first, then the newest.
fn newest(server: &Server) -> Vec<Arc<Pod>> {
    let mut pods = server.pods.clone();
    pods.sort_by_key(|pod| (is_terminating(pod) || has_ended(pod), Reverse(pod.creation_timestamp())));
    pods.truncate(PODS);
    pods
}

/// An answer in time, or why there is none.
async fn asked<T>(request: impl Future<Output = Result<T, ApiError>>) -> Result<T, String> {
    let late = |_| format!("not known: no answer within {}s", ANSWER.as_secs());
    timeout(ANSWER, request).await.map_err(late)?.map_err(|error| format!("not known: {error}"))
}

/// The warnings about the pods, their ReplicaSet and the Deployment.
async fn events(shared: &Shared, server: &Server, pods: &[Arc<Pod>]) -> Vec<String> {
    let mut objects: Vec<(String, Option<String>)> =
        pods.iter().map(|pod| (format!("pod {}", pod.name_any()), pod.uid())).collect();
    let set = server.newest_set();
    objects.extend(set.map(|set| (format!("ReplicaSet {}", set.name_any()), set.uid())));
    let deployment = server.deployment();
    objects.extend(deployment.map(|deployment| (format!("Deployment {}", deployment.name_any()), deployment.uid())));
    let asked = objects.into_iter().filter_map(|(object, uid)| Some((object, uid?))).map(|(object, uid)| async move {
        match asked(shared.cluster.events(&uid)).await {
            Ok(warnings) => warnings.iter().map(|warning| format!("{object}: {warning}")).collect(),
            Err(why) => vec![format!("{object}: {why}")],
        }
    });
    let mut lines: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
    if lines.is_empty() {
        lines.push("none, or forgotten: Kubernetes keeps them for an hour".to_owned());
    }
    lines
}

/// The last lines of every container, and of its previous life.
async fn logs(shared: &Shared, pods: &[Arc<Pod>]) -> Vec<Section> {
    let views = pods.iter().flat_map(|pod| container::all(pod).into_iter().map(move |view| (pod.name_any(), view)));
    let each = views.flat_map(|(pod, view)| {
        let which = lives(&view).into_iter().enumerate().filter(|(_, has_log)| *has_log);
        which.map(move |(life, _)| (pod.clone(), view.name, life == 1))
    });
    let sections = each.map(|(pod, name, is_before)| async move {
        let log = if is_before {
            asked(shared.cluster.log_tail_before(&pod, name, LINES, BYTES)).await
        } else {
            asked(shared.cluster.log_tail(&pod, name, LINES, BYTES)).await
        };
        let lines = match log {
            Ok(lines) if lines.is_empty() => vec!["nothing".to_owned()],
            Ok(lines) => lines.into_iter().map(|(stamp, line)| format!("{stamp:.0} {line}")).collect(),
            Err(why) => vec![why],
        };
        let life = if is_before { ", its life before" } else { "" };
        section(format!("log of {name} in pod {pod}{life}, the last {LINES} lines"), &lines)
    });
    join_all(sections).await
}

/// Whether a container has a log, and whether there is another one of its life before: while it waits, the kubelet gives
/// the one that ended for both.
fn lives(view: &View<'_>) -> [bool; 2] {
    let Some(status) = view.status else { return [false; 2] };
    let state = status.state.as_ref();
    let has_begun = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    let has_ended = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    [has_begun || has_ended, has_begun && has_ended]
}
