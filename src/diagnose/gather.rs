//! Gathers the state of a server with concurrent requests; a request without an answer appears as such.

use std::cmp::Reverse;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::timeout;

use crate::check::Shared;
use crate::cluster::container::{self, View};
use crate::cluster::server::{has_ended, is_terminating, phase};
use crate::cluster::{ApiError, LogLine, ResourceExt, Select, Server, Snapshot};
use crate::event::Section;
use crate::redact;

const REPLY_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_LINES: usize = 60;
const MAX_CHARS: usize = 400;
/// The most pods of a server: there are two during a rollout.
const PODS: usize = 2;
const TAIL: i64 = 20;
/// The most bytes of a log: enough for long lines.
const BYTES: i64 = 1 << 18;

pub(super) async fn gather(
    shared: &Shared,
    snapshot: Result<&Snapshot, &ApiError>,
    select: &Select,
    name: &str,
) -> Vec<Section> {
    let server = match snapshot {
        Ok(snapshot) => snapshot.server(select, name),
        Err(error) => return vec![section("pods", &[format!("unavailable: {error}")])],
    };
    let pods = newest(&server);
    let (events, logs) = tokio::join!(events(shared, &server, &pods), logs(shared, &pods));
    let mut sections = vec![section("pods", &states(&pods)), section("warnings", &events)];
    sections.extend(logs);
    sections
}

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
                format!("    previous run: {reason}, exit code {}", last.exit_code)
            }));
        }
    }
    if lines.is_empty() {
        lines.push("none".to_owned());
    }
    lines
}

/// The most relevant pods: those that still run first, then the newest.
fn newest(server: &Server) -> Vec<Arc<Pod>> {
    let mut pods = server.pods.clone();
    pods.sort_by_key(|pod| (is_terminating(pod) || has_ended(pod), Reverse(pod.creation_timestamp())));
    pods.truncate(PODS);
    pods
}

async fn in_time<T>(request: impl Future<Output = Result<T, ApiError>>) -> Result<T, String> {
    let timed_out = |_| format!("unavailable: no reply within {} s", REPLY_TIMEOUT.as_secs());
    timeout(REPLY_TIMEOUT, request).await.map_err(timed_out)?.map_err(|error| format!("unavailable: {error}"))
}

async fn events(shared: &Shared, server: &Server, pods: &[Arc<Pod>]) -> Vec<String> {
    let mut objects: Vec<(String, Option<String>)> =
        pods.iter().map(|pod| (format!("pod {}", pod.name_any()), pod.uid())).collect();
    let set = server.newest_set();
    objects.extend(set.map(|set| (format!("ReplicaSet {}", set.name_any()), set.uid())));
    let deployment = server.deployment();
    objects.extend(deployment.map(|deployment| (format!("Deployment {}", deployment.name_any()), deployment.uid())));
    let events = objects.into_iter().filter_map(|(object, uid)| Some((object, uid?))).map(|(object, uid)| async move {
        match in_time(shared.cluster.events(&uid)).await {
            Ok(warnings) => warnings.iter().map(|warning| format!("{object}: {warning}")).collect(),
            Err(why) => vec![format!("{object}: {why}")],
        }
    });
    let mut lines: Vec<String> = join_all(events).await.into_iter().flatten().collect();
    if lines.is_empty() {
        lines.push("none; Kubernetes deletes events after an hour".to_owned());
    }
    lines
}

async fn logs(shared: &Shared, pods: &[Arc<Pod>]) -> Vec<Section> {
    let each = pods.iter().flat_map(|pod| container::all(pod).into_iter().map(move |view| (pod.name_any(), view)));
    let sections = each.map(|(pod, view)| async move {
        let (name, cluster) = (view.name, &shared.cluster);
        let (has_current, has_previous) = available_logs(&view);
        let current = async {
            let log = has_current.then(|| in_time(cluster.log_tail(&pod, name, TAIL, BYTES)));
            Some(log_section(format!("log of {name} in pod {pod}, last {TAIL} lines"), log?.await))
        };
        let previous = async {
            let log = has_previous.then(|| in_time(cluster.previous_log_tail(&pod, name, TAIL, BYTES)));
            Some(log_section(format!("previous log of {name} in pod {pod}, last {TAIL} lines"), log?.await))
        };
        let (current, previous) = tokio::join!(current, previous);
        current.into_iter().chain(previous)
    });
    join_all(sections).await.into_iter().flatten().collect()
}

/// Whether a container has a log, and whether it has another previous one: while it waits to restart, the kubelet returns the
/// same log for both.
fn available_logs(view: &View<'_>) -> (bool, bool) {
    let Some(status) = view.status else { return (false, false) };
    let state = status.state.as_ref();
    let has_begun = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    let has_ended = status.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    (has_begun || has_ended, has_begun && has_ended)
}

fn log_section(title: impl Display, log: Result<Vec<LogLine>, String>) -> Section {
    let lines = match log {
        Ok(lines) if lines.is_empty() => vec!["empty".to_owned()],
        Ok(lines) => lines.into_iter().map(|(stamp, line)| format!("{stamp:.0} {line}")).collect(),
        Err(why) => vec![why],
    };
    section(title.to_string(), &lines)
}

fn section(title: impl Into<String>, lines: &[String]) -> Section {
    let all = || lines.iter().flat_map(|line| line.lines());
    // Redact first: a truncated secret is not recognized.
    let bounded = |line: &str| {
        let line = redact::text(line);
        match line.char_indices().nth(MAX_CHARS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    };
    let mut shown: Vec<String> = all().take(MAX_LINES).map(bounded).collect();
    let more = all().count() - shown.len();
    shown.extend((more > 0).then(|| format!("… and {more} more lines")));
    Section { title: title.into(), lines: shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_key_is_removed_before_its_line_is_truncated() {
        let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7".repeat(10);
        assert_eq!(section("log", &[format!("{key}\n")]).lines, ["[removed]"]);
    }

    #[test]
    fn a_section_is_limited_in_size() {
        let section = section("log", &["x".repeat(1 << 20), "a\nb".to_owned(), "many\n".repeat(100)]);
        assert_eq!(section.lines.len(), MAX_LINES + 1);
        assert!(section.lines.iter().all(|line| line.chars().count() <= MAX_CHARS + 1));
        assert_eq!(section.lines[MAX_LINES], "… and 43 more lines");
    }
}
