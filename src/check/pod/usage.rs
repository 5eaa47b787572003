//! `usage`: current CPU and memory of a server's containers and of all servers; an idle sidecar must use hardly any
//! CPU.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join_all, try_join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::quantity::{Quantity, cpu, memory};
use super::used::{self, Containers, Used, total};
use crate::check::findings::Findings;
use crate::check::parameter::DurationParam;
use crate::check::{Kind, Site, System};
use crate::cluster::container;
use crate::cluster::server::counted;
use crate::cluster::{Operation, ResourceExt, SyncLog, Wanted};
use crate::event::{Reason, Verdict};

/// Time between two readings of a busy sidecar's CPU, long enough that a short cycle hardly matters.
const PAUSE: Duration = Duration::from_secs(2);
const LINES: i64 = 200;
const BYTES: i64 = 1 << 20;
const RECENT: SignedDuration = SignedDuration::from_secs(60);
const STARTING: SignedDuration = SignedDuration::from_secs(10);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Usage {
    /// CPU that a sidecar must stay below unless it is copying files.
    pub idle_below: Quantity,
    /// Node memory that all servers together must not exceed.
    pub node_memory: Quantity,
    /// Maximum time for a sidecar to become idle.
    pub within: DurationParam,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    pod: Arc<Pod>,
    source: String,
    containers: Containers,
    /// A file that a busy sidecar's log lists as copied.
    copied: Option<String>,
    /// The total of each server of the suite, or why it could not be measured.
    servers: BTreeMap<String, Result<Used, String>>,
}

/// A pod, the source of its measurements, and the measurements.
type Measured = Result<(Arc<Pod>, &'static str, Containers), Verdict>;

impl Kind for Usage {
    type Observation = Observation;

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        // The measurements may need commands, which a restarting container cannot run.
        site.steady_pod().await?;
        let measured = |server: &str| {
            site.shared.once(format!("usage of {server}"), measure_server(site, server.to_owned()).boxed())
        };
        let all = site.system.names().map(|server| async { (server.clone(), sum(measured(server).await)) });
        let mut servers: BTreeMap<_, _> = join_all(all).await.into_iter().collect();
        let server = site.server().to_owned();
        let (pod, source, mut containers) = measured(&server).await?;
        let name = site.system.sidecar_name();
        let deadline = Instant::now() + self.within.0;
        let mut copied = None;
        while containers.get(name).is_some_and(|used| used.cpu >= self.idle_below.number) {
            copied = newest_copy(site, &pod).await?;
            if copied.is_some() || Instant::now() >= deadline {
                break;
            }
            site.waiting(format!("{name} to be idle"), self.within.0);
            let again = measure(site, &pod, name, Some(PAUSE)).await?;
            containers.insert(name.to_owned(), again);
        }
        servers.insert(server.clone(), Ok(total(containers.values().copied())));
        Ok(Observation { server, pod, source: source.to_owned(), containers, copied, servers })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let mut found = Findings::default();
        let name = system.sidecar_name();
        let sidecar = seen.containers.get(name).filter(|used| used.cpu >= self.idle_below.number);
        if let Some(used) = sidecar {
            let (object, now) = (container::label(&seen.pod, name), cpu(used.cpu));
            if let Some(file) = &seen.copied {
                found.note(format!("{object} uses {now} CPU because it is copying, for example {file}"));
            } else {
                let expected = format!("less than {} CPU while idle", self.idle_below.text);
                let seen = format!("still {now} after {}, and its log lists no copied file", self.within);
                let hint = "read its command and log, and check that it pauses between sync cycles";
                found.add_finding(object, expected, seen, hint);
            }
        }
        let mut known = Vec::new();
        for (server, used) in &seen.servers {
            match used {
                Ok(used) => known.push(*used),
                Err(why) => {
                    found.note(format!("the total lacks server {server}, which could not be measured: {why}"));
                }
            }
        }
        let (count, sum) = (format!("{} of {}", known.len(), seen.servers.len()), total(known));
        if sum.memory > self.node_memory.number {
            let expected = format!("at most {} in total, the memory of the node", self.node_memory.text);
            let hint = "give the node more memory, or lower the limits in the values";
            found.add_finding(format!("{count} servers"), expected, memory(sum.memory), hint);
        }
        let each = seen
            .containers
            .iter()
            .map(|(name, used)| format!("{name} {} and {} CPU", memory(used.memory), cpu(used.cpu)));
        found.verdict(format!(
            "{} ({}); {count} servers use {} of {} and {} CPU",
            each.collect::<Vec<_>>().join(", "),
            seen.source,
            memory(sum.memory),
            self.node_memory.text,
            cpu(sum.cpu)
        ))
    }
}

/// A file that the sidecar's log lists as recently copied.
async fn newest_copy(site: &Site, pod: &Pod) -> Result<Option<String>, Verdict> {
    let sidecar = site.system.sidecar()?;
    let name = &sidecar.container;
    let log = site.shared.cluster.log_tail(&pod.name_any(), name, LINES, BYTES).await;
    let log = log.map_err(|error| site.request_failed(&error))?;
    // This run's files do not explain high usage: they are copied in a moment.
    let log: Vec<_> = log.into_iter().filter(|(_, line)| !line.contains(&site.shared.run)).collect();
    let since = container::named(pod, name).and_then(|view| view.running_since()).unwrap_or(Timestamp::MAX);
    // A complete log begins with start-up lines, before the first cycle.
    let is_cut = log.first().is_some_and(|(first, _)| first.duration_since(since) > STARTING);
    let read = if is_cut { SyncLog::read_tail } else { SyncLog::read };
    let last = log.last().map(|(stamp, _)| *stamp);
    let copied = site.system.log_patterns().and_then(|patterns| read(&log, &patterns).copied);
    let recent = site.shared.cluster.now() - RECENT;
    Ok(copied.filter(|(stamp, _)| *stamp >= recent || Some(*stamp) == last).map(|(_, line)| line))
}

/// Measures a server's running containers, by metrics-server if it runs, else inside the containers.
async fn measure_server(site: &Site, server: String) -> Measured {
    let snapshot = site.server_settled(&server).await?;
    let server_now = snapshot.server(&site.system.pods, &server);
    let current = server_now.current();
    let [pod] = current[..] else {
        let reason = Reason::new(format!("server {server}"), "exactly one current pod", counted(&current));
        return Err(Verdict::blocked(format!("pods::{server}"), reason));
    };
    let views = container::all(pod);
    let running = views.iter().filter(|view| view.kind != container::Kind::Ephemeral && view.running_since().is_some());
    let names: Vec<&str> = running.map(|view| view.name).collect();
    let wanted = Wanted::of([&site.system.pods]);
    let key = format!("metrics of {}", wanted.selector());
    let metrics = site.shared.once(key, site.shared.cluster.metrics(&wanted)).await;
    let of_pod = metrics.iter().flatten().find(|object| object["metadata"]["name"] == pod.name_any());
    if let Some(containers) = of_pod.and_then(|object| used::from_metrics(object, &names)) {
        return Ok((Arc::clone(pod), "from metrics.k8s.io", containers));
    }
    let measurements = names
        .iter()
        .map(|name| async move { Ok::<_, Verdict>(((*name).to_owned(), measure(site, pod, name, None).await?)) });
    let containers = try_join_all(measurements).await?.into_iter().collect();
    Ok((Arc::clone(pod), "from the cgroup files", containers))
}

/// Reads a container's cgroup files twice. Without a pause between, the mean since the container's start usually
/// decides.
async fn measure(site: &Site, pod: &Pod, name: &str, pause: Option<Duration>) -> Result<Used, Verdict> {
    let before = read(site, pod, name).await?;
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
    let after = read(site, pod, name).await?;
    let since = container::named(pod, name).and_then(|view| view.running_since());
    let age = since.map_or(SignedDuration::ZERO, |since| site.shared.cluster.now().duration_since(since));
    Ok(used::between(before, after, age))
}

async fn read(site: &Site, pod: &Pod, name: &str) -> Result<used::Reading, Verdict> {
    let (output, problem) = site.try_exec(pod, name, &Operation::Usage).await?;
    used::reading(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        let (object, why) = (container::label(pod, name), problem.unwrap_or("unexpected content".to_owned()));
        Verdict::skip(format!("no metrics.k8s.io, and the cgroup files of {object} cannot be read: {why}"))
    })
}

fn sum(measured: Measured) -> Result<Used, String> {
    match measured {
        Ok((.., containers)) => Ok(total(containers.into_values())),
        Err(verdict) => Err(verdict.reasons.into_iter().next().map_or(verdict.summary, |reason| reason.seen)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::cluster::example::output_pod;
    use crate::event::Outcome;

    #[test]
    fn an_idle_sidecar_and_a_total_within_the_nodes_memory_pass() {
        let other = |memory: f64| json!({"Ok": {"memory": memory, "cpu": 0.001}});
        let all = 8_589_934_592.0 - 2e6;
        for (sidecar, copied, other, outcome, notes) in [
            (0.049, Value::Null, other(1e6), Outcome::Pass, 0),
            (0.05, Value::Null, other(1e6), Outcome::Fail, 0),
            (0.1, json!("big.bin"), other(1e6), Outcome::Pass, 1),
            (0.0, Value::Null, other(all), Outcome::Pass, 0),
            (0.0, Value::Null, other(all + 1.0), Outcome::Fail, 0),
            (0.0, Value::Null, json!({"Err": "no pod"}), Outcome::Pass, 1),
        ] {
            let seen = json!({
                "server": "nas-output-1", "pod": output_pod(), "source": "test", "copied": copied,
                "containers": {"nfs-server": {"memory": 1e6, "cpu": 0.9}, "sync-to-windows": {"memory": 1e6, "cpu": sidecar}},
                "servers": {"nas-output-1": {"Ok": {"memory": 2e6, "cpu": 0.9}}, "nas-output-2": other}
            });
            let check = json!({"idle-below": "50m", "node-memory": "8Gi", "within": "10s"});
            let verdict = judged::<Usage>(check, seen);
            assert_eq!((verdict.outcome, verdict.notes.len()), (outcome, notes), "{verdict:?}");
        }
    }
}
