//! Deletes a pod and follows its replacement: which pod it is, its progress, and what it waits for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::seen::{Replacement, Sighting};
use crate::check::parameter::DurationParam;
use crate::check::sync::search::compare_listing;
use crate::check::{Disrupted, Site, millis};
use crate::cluster::container::{self, Kind};
use crate::cluster::server::{has_ended, is_ready, is_terminating, phase, progress};
use crate::cluster::{ApiError, Operation, ResourceExt, Server, Snapshot};
use crate::digest::Digest;
use crate::event::{Reason, Verdict};
use crate::host::Seen;

/// The pause between two looks into an export doubles from the first to the second.
const MIN_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How much longer than the limit the last look into an export may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// The most of a log that is searched for removed files, in bytes, and the most of its lines that are quoted.
const MAX_LOG: i64 = 1 << 20;
const MAX_LINES: usize = 3;

pub struct Deletion<'a> {
    site: &'a Site,
    /// The uids of the server's pods before it.
    known: BTreeSet<String>,
    /// The uid of the ReplicaSet.
    owner: String,
    sent: Instant,
    deadline: Instant,
}

pub struct File {
    pub name: String,
    pub content: String,
}

/// The replacement's pod, if it exists, and what became of it, once that is certain.
type Progress = (Option<Arc<Pod>>, Option<Replacement>);

impl<'a> Deletion<'a> {
    /// Deletes the pod.
    pub async fn send(site: &'a Site, server: &Server, pod: &Pod, owner: String) -> Result<Self, Verdict> {
        let (shared, sent, deletes) = (&site.shared, Instant::now(), pod.uid().unwrap_or_default());
        let disrupted = Disrupted {
            test: site.id.clone(),
            server: site.server().to_owned(),
            select: site.system.pods.clone(),
            deletes: deletes.clone(),
            at: sent,
        };
        shared.disrupt(disrupted.clone());
        if let Err(error) = shared.cluster.delete_pod(&pod.name_any(), &deletes).await {
            if let ApiError::Forbidden { .. } | ApiError::Unauthorized { .. } | ApiError::NotFound { .. } = error {
                shared.recovered(&disrupted);
            }
            let reason = Reason::new(format!("pod {}", pod.name_any()), "to be deleted", error.to_string());
            return Err(Verdict::error(reason.hint(error.hint())));
        }
        let known = server.pods.iter().filter_map(|pod| pod.uid()).collect();
        Ok(Self { site, known, owner, sent, deadline: sent + shared.settings.settle })
    }

    /// Errors: something else changes the server.
    fn progress(&self, snapshot: &Snapshot) -> Result<Progress, Verdict> {
        let server = self.server(snapshot);
        let after = millis(self.sent.elapsed());
        let new: Vec<_> =
            server.pods.iter().filter(|pod| !self.known.contains(&pod.uid().unwrap_or_default())).collect();
        let is_its = |pod: &Pod| pod.owner_references().iter().any(|owner| owner.uid == self.owner);
        if let Some(other) = new.iter().find(|pod| !is_its(pod)) {
            return Err(self.disrupted(format!("a pod of another owner appeared: {}", other.name_any())));
        }
        let is_newest = server.newest_set().is_some_and(|set| set.metadata.uid.as_ref() == Some(&self.owner));
        let obstacle = server.obstacle().filter(|obstacle| is_newest && obstacle.may_resolve.is_none());
        let pod = match new.as_slice() {
            [] => return Ok((None, obstacle.map(|obstacle| Replacement::Missing { after, obstacle: Some(obstacle) }))),
            [pod] => pod,
            [first, second, ..] => new.iter().find(|pod| has_ended(pod)).ok_or_else(|| {
                let names = [first, second].map(|pod| pod.name_any()).join(" and ");
                self.disrupted(format!("more than one replacement appeared: {names}"))
            })?,
        };
        if is_terminating(pod) && !has_ended(pod) {
            return Err(self.disrupted(format!("its replacement {} is being deleted", pod.name_any())));
        }
        let stuck = |container, state| Some(Replacement::Stuck { pod: pod.name_any(), container, state, after });
        let came = if has_ended(pod) {
            let status = pod.status.iter();
            let why: Vec<_> = status.flat_map(|it| [&it.reason, &it.message]).flatten().map(String::as_str).collect();
            stuck(None, format!("the pod has ended: {}, {}", phase(pod), why.join(": ")))
        } else if let Some(view) = container::all(pod).into_iter().find(container::View::is_stuck) {
            stuck(Some(view.name.to_owned()), view.describe())
        } else if let Some(obstacle) = obstacle {
            stuck(None, obstacle.message)
        } else {
            is_ready(pod).then(|| Replacement::Ready { pod: pod.name_any(), after })
        };
        Ok((Some(Arc::clone(pod)), came))
    }

    fn server(&self, snapshot: &Snapshot) -> Server {
        snapshot.server(&self.site.system.pods, self.site.server())
    }

    fn disrupted(&self, seen: String) -> Verdict {
        let object = format!("server {}", self.site.server());
        let reason = Reason::new(object, "unchanged by others while its pod is restarted", seen);
        Verdict::error(reason.hint("run the test again after that"))
    }

    /// Waits until the replacement is Ready, or certain not to become Ready; its pod, if it exists.
    pub async fn wait_for_replacement(&self) -> Result<(Replacement, Option<Arc<Pod>>), Verdict> {
        let shared = &self.site.shared;
        let mut last = None;
        let found = shared.until(self.site.server(), self.deadline, |snapshot| match self.progress(snapshot) {
            Ok((pod, Some(came))) => Some(Ok((came, pod))),
            Ok((pod, None)) => {
                last = pod.or(last.take());
                None
            }
            Err(disrupted) => Some(Err(disrupted)),
        });
        if let Some(found) = found.await.map_err(|error| self.site.request_failed(&error))? {
            return found;
        }
        let after = millis(self.sent.elapsed());
        let Some(pod) = last else {
            let snapshot = shared.watch.snapshot().ok();
            let obstacle = snapshot.and_then(|snapshot| self.server(&snapshot).obstacle());
            return Ok((Replacement::Missing { after, obstacle }, None));
        };
        let state = format!("not Ready yet: {}", progress(&pod));
        Ok((Replacement::Stuck { pod: pod.name_any(), container: blocking_container(&pod), state, after }, Some(pod)))
    }

    /// The lines in the replacement's logs that report removing these files from the host folder.
    pub async fn removed(&self, pod: &Pod, names: &[String]) -> Vec<String> {
        if names.is_empty() {
            return Vec::new();
        }
        let views = container::all(pod);
        let mounting = views.iter().filter(|view| !container::host_paths(pod, view).is_empty());
        let logs = join_all(mounting.map(async |view| {
            let log = self.site.shared.cluster.log(&pod.name_any(), view.name, None, MAX_LOG).await;
            log.unwrap_or_default()
        }));
        let lines = logs.await.into_iter().flatten().map(|(_, line)| line);
        let reports_removal = |line: &String| {
            // rsync with -v, or with -i.
            let deleted = line.strip_prefix('*').unwrap_or(line).strip_prefix("deleting ");
            deleted.is_some_and(|name| names.iter().any(|gone| gone == name.trim_start()))
        };
        lines.filter(reports_removal).take(MAX_LINES).collect()
    }

    /// Waits until the file is in the replacement's export, or has certainly missed the limit.
    pub async fn arrival(&self, file: &File, within: DurationParam) -> Sighting {
        let container = &self.site.system.export.container;
        let mut seen = Sighting { last: "no replacement".to_owned(), ..Sighting::default() };
        let mut pause = MIN_PAUSE;
        loop {
            let snapshot = self.site.shared.watch.snapshot();
            let mut age = Duration::ZERO;
            match snapshot.map(|snapshot| self.progress(&snapshot)) {
                Ok(Ok((Some(pod), None | Some(Replacement::Ready { .. })))) => {
                    age = self.since_creation(&pod);
                    if container::runs(&pod, container) {
                        match self.look(&pod, file).await {
                            Seen::Complete => {
                                return Sighting { present: Some(millis(self.since_creation(&pod))), ..seen };
                            }
                            // Unknown is not absent.
                            Seen::Unknown(why) => seen.last = why,
                            other => (seen.absent, seen.last) = (Some(millis(age)), other.to_string()),
                        }
                        pause = MAX_PAUSE.min(pause * 2);
                    } else {
                        let view = container::named(&pod, container);
                        let state = view.map_or("no such container".to_owned(), |view| view.describe());
                        (seen.absent, seen.last) = (Some(millis(age)), format!("{container}: {state}"));
                    }
                }
                Ok(Ok((None, None))) => {}
                Ok(_) => return seen,
                Err(error) => seen.last = error.to_string(),
            }
            let is_late = seen.absent.is_some_and(|absent| absent > millis(within.0));
            let max_age = within.0 + REPLY_TIMEOUT;
            if is_late || age > max_age || Instant::now() >= self.deadline.max(self.sent + max_age) {
                return seen;
            }
            tokio::time::sleep(pause).await;
        }
    }

    pub async fn look(&self, pod: &Pod, file: &File) -> Seen {
        let export = &self.site.system.export;
        let gather = Operation::Gather { folder: export.folder.clone(), prefix: file.name.clone() };
        let output = self.site.shared.exec(self.site.server(), &pod.name_any(), &export.container, &gather).await;
        let output = match output {
            Ok(output) => output,
            Err(error) => return Seen::Unknown(error.to_string()),
        };
        if let Some(problem) = output.problem() {
            return Seen::Unknown(problem);
        }
        compare_listing(&output.stdout, &file.name, &Digest::of(&file.content))
    }

    /// A pod's age by the cluster's clock, whose timestamps are whole seconds; at most the time since the deletion, by this
    /// machine's clock.
    fn since_creation(&self, pod: &Pod) -> Duration {
        let created = pod.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let age = self.site.shared.cluster.now().duration_since(created);
        self.sent.elapsed().min(Duration::try_from(age).unwrap_or_default())
    }

    /// Waits until the old pod has ended and writes no more; what is left of it at the limit.
    pub async fn wait_for_old_pod(&self) -> Option<String> {
        let mut last = None;
        let gone = self.site.shared.until(self.site.server(), self.deadline, |snapshot| {
            let server = self.server(snapshot);
            let is_old = |pod: &&Arc<Pod>| self.known.contains(&pod.uid().unwrap_or_default()) && !has_ended(pod);
            last = server.pods.iter().find(is_old).map(|pod| format!("pod {} is still being deleted", pod.name_any()));
            last.is_none().then_some(())
        });
        let gone = gone.await;
        gone.map_or_else(|error| Some(error.to_string()), |_| last)
    }
}

/// The container that keeps a pod from being Ready: the first that the others wait for.
fn blocking_container(pod: &Pod) -> Option<String> {
    let views = container::all(pod);
    let blocking = views.iter().find(|view| match view.kind {
        Kind::Init => !view.has_completed(),
        Kind::Ephemeral => false,
        Kind::NativeSidecar | Kind::Ordinary => view.status.is_none_or(|status| !status.ready),
    });
    blocking.map(|view| view.name.to_owned())
}
