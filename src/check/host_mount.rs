//! `host-mount`: the tester's folder and what a container of the pod mounts are one folder, both ways.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::parameter::Span;
use super::site::{Place, Placed};
use super::{Kind, Site};
use crate::cluster::container::{self, Restarts};
use crate::cluster::{End, Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};
use crate::host::Seen;

/// The first pause between two looks through the mount; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostMount {
    /// The container that mounts the tester's folder.
    pub container: String,
    /// A container that was restarted must have been running for so long since, or it cannot be relied on.
    pub restart_window: Span,
    /// How long the two sides may differ.
    pub within: Span,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    context: String,
    namespace: String,
    pod: String,
    container: String,
    /// The folder of all servers on this machine, and the server's own.
    root: String,
    folder: String,
    host_path: String,
    mount_path: String,
    /// Whether the server's folder exists here.
    is_folder: bool,
    /// From here to the pod.
    to_pod: Option<Way>,
    /// From the pod to here.
    to_host: Option<Way>,
}

/// What came out at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// The same content, after this many milliseconds.
    Same(u64),
    /// Something else.
    Other(String),
}

impl Kind for HostMount {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Host, Hop::Mount];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (pod, population) = site.pod().await?;
        if let Some(view) = container::named(&pod, &self.container)
            && let Restarts::Recent(_) = container::restarts(&pod, &view, self.restart_window.signed(), population.now)
        {
            let object = format!("pod {}, container {}", pod.name_any(), self.container);
            return Err(site.blocked(Reason::new(object, "to run steadily", view.describe())));
        }
        site.mount(&pod, &self.container, self.within.0).await
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        seen.verdict()
    }
}

impl Observation {
    /// Whether the two are one folder.
    pub fn verdict(&self) -> Verdict {
        let object = format!("folder {}", self.folder);
        if !self.is_folder {
            let hint =
                "make it; if the pod already runs, restart the pod then, because it still mounts the folder of before";
            return Verdict::judged("", vec![Reason::new(object, "a folder", "no folder").hint(hint)]).at(Hop::Host);
        }
        let there = format!("pod {}, container {}, {}", self.pod, self.container, self.mount_path);
        let mut reasons = Vec::new();
        let mut differs = |way: &str, seen: &str| {
            let expected = format!("to be the folder that {there} shows");
            reasons.push(
                Reason::new(
                    &object,
                    expected,
                    format!("a file written {way} is not the same at the other end: {seen}"),
                )
                .hint(self.hint()),
            );
        };
        match (&self.to_pod, &self.to_host) {
            (Some(Way::Same(to_pod)), Some(Way::Same(to_host))) => {
                let summary = format!("{} is {there}: {to_pod} ms to the pod, {to_host} ms back", self.folder);
                return Verdict::judged(summary, Vec::new());
            }
            (Some(Way::Same(_)), Some(Way::Other(seen))) => differs("in the pod", seen),
            (Some(Way::Other(seen)), _) => differs("here", seen),
            (to_pod, to_host) => {
                differs("here or there", &format!("not both ways were tried: {to_pod:?}, {to_host:?}"));
            }
        }
        Verdict::judged("", reasons).at(Hop::Mount)
    }

    fn hint(&self) -> String {
        // A hostPath of one server is <where minikube mounts>/<server>.
        let mounted =
            Path::new(&self.host_path).parent().map_or(&*self.host_path, |parent| parent.to_str().unwrap_or_default());
        format!(
            "on minikube, run in a window of its own: minikube -p {context} mount {root}:{mounted}\n\
             if the folder was deleted and made again, the pod still mounts the old one; restart it: \
             kubectl --context={context} -n {namespace} delete pod {pod}\n\
             if {root} is not the folder behind {mounted}, name the right one with --host-data",
            context = self.context,
            namespace = self.namespace,
            root = self.root,
            pod = self.pod,
        )
    }
}

/// Writes a file here and looks at it there, then changes it there and looks at it here.
///
/// # Errors
/// The container has no such mount, or nothing could be run in it.
pub async fn probe(site: &Site, pod: &Arc<Pod>, container: &str, within: Duration) -> Result<Observation, Verdict> {
    let shared = &site.shared;
    let object = || format!("pod {}, container {container}", pod.name_any());
    let view = container::named(pod, container);
    let mounts = view.as_ref().map(|view| container::host_paths(pod, view)).unwrap_or_default();
    let (Some(view), Some(mount)) = (view, mounts.first()) else {
        let seen = if view.is_some() { "it mounts no hostPath" } else { "there is no such container" };
        return Err(Verdict::error(Reason::new(
            object(),
            "to mount the tester's folder, so that it can be probed",
            seen,
        )));
    };
    if view.running_since().is_none() {
        return Err(site.blocked(Reason::new(object(), "running", view.describe())));
    }
    let folder = shared.host.folder(site.server());
    let mut seen = Observation {
        context: shared.cluster.context().to_owned(),
        namespace: shared.cluster.namespace().to_owned(),
        pod: pod.name_any(),
        container: container.to_owned(),
        root: shared.host.root().display().to_string(),
        is_folder: folder.is_dir(),
        folder: folder.display().to_string(),
        host_path: mount.path.to_owned(),
        mount_path: mount.mount_path.to_owned(),
        to_pod: None,
        to_host: None,
    };
    if !seen.is_folder {
        return Ok(seen);
    }
    // A sidecar with --delete removes the file when its cycle falls between writing and looking: try once more then.
    for attempt in ["mount", "mount-again"] {
        let name = format!("{}-{attempt}-{}.txt", shared.run, site.server());
        let placed = Placed { server: site.server().to_owned(), place: Place::Host, name };
        shared.place(placed.clone());
        let vanished = both_ways(site, pod, container, &placed.name, within, &mut seen).await?;
        if shared.host.remove(site.server(), &placed.name).is_ok() {
            shared.removed(&placed);
        }
        if !vanished {
            break;
        }
    }
    Ok(seen)
}

/// Fills in both ways; `true` if the file vanished meanwhile.
async fn both_ways(
    site: &Site,
    pod: &Arc<Pod>,
    container: &str,
    name: &str,
    within: Duration,
    seen: &mut Observation,
) -> Result<bool, Verdict> {
    let host = &site.shared.host;
    let path = format!("{}/{name}", seen.mount_path);
    let (here, there) = (format!("{name} written here"), format!("{name} written in the pod"));
    if let Err(error) = host.create(site.server(), name, here.as_bytes()) {
        seen.to_pod = Some(Way::Other(format!("it cannot be written: {error}")));
        return Ok(false);
    }
    let vanished = || host.look(site.server(), name, here.as_bytes()) == Seen::Absent;
    let started = Instant::now();
    let mut pause = PAUSE;
    loop {
        let output = site.exec(pod, container, &Operation::Read { path: path.clone() }).await?;
        if output.problem().is_none() && output.stdout == here.as_bytes() {
            seen.to_pod = Some(Way::Same(millis(started)));
            break;
        }
        if let End::Unknown(why) = &output.end {
            let object = format!("pod {}, container {container}", pod.name_any());
            return Err(Verdict::error(Reason::new(object, "to read a file", why)));
        }
        seen.to_pod =
            Some(Way::Other(output.problem().unwrap_or_else(|| format!("{} other bytes", output.stdout.len()))));
        if vanished() {
            return Ok(true);
        }
        if started.elapsed() + pause > within {
            return Ok(false);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    let started = Instant::now();
    let output = site.exec(pod, container, &Operation::Write { path, content: there.clone() }).await?;
    if let Some(problem) = output.problem() {
        seen.to_host = Some(Way::Other(format!("it cannot be written: {problem}")));
        return Ok(false);
    }
    seen.to_host = Some(match host.arrival(site.server(), name, there.as_bytes(), started + within).await {
        Ok(_) => Way::Same(millis(started)),
        Err(last) => Way::Other(last.to_string()),
    });
    Ok(matches!(seen.to_host, Some(Way::Other(_))) && vanished())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    fn judged(is_folder: bool, to_pod: &Value, to_host: &Value) -> Verdict {
        let seen: Observation = serde_json::from_value(json!({
            "context": "file-simulator", "namespace": "n", "pod": "p", "container": "c", "is_folder": is_folder,
            "root": "C:\\simulator-data", "folder": "C:\\simulator-data\\nas-output-1",
            "host_path": "/mnt/simulator-data/nas-output-1", "mount_path": "/windows-mount",
            "to_pod": to_pod, "to_host": to_host
        }))
        .unwrap();
        seen.verdict()
    }

    #[test]
    fn both_ways_must_be_the_same() {
        let (same, other) = (json!({"Same": 80}), json!({"Other": "no such file"}));
        assert_eq!(judged(true, &same, &same).outcome, Outcome::Pass);
        for (to_pod, to_host) in
            [(&same, &other), (&other, &Value::Null), (&same, &Value::Null), (&Value::Null, &Value::Null)]
        {
            let verdict = judged(true, to_pod, to_host);
            assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Mount)), "{to_pod} {to_host}");
            let hint = &verdict.reasons[0].hint;
            assert!(hint.contains(r"minikube -p file-simulator mount C:\simulator-data:/mnt/simulator-data"), "{hint}");
        }
        assert_eq!(judged(false, &Value::Null, &Value::Null).hop, Some(Hop::Host));
    }
}
