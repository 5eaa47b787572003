//! `usage`: what the containers of a server use now, and all servers together; an idle sidecar must use next to no CPU.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::quantity::{Amount, cpu, memory};
use super::used::{self, Containers, Used, total};
use crate::check::parameter::{Sidecar, Span};
use crate::check::{Kind, Need, Site};
use crate::cluster::container;
use crate::cluster::server::counted;
use crate::cluster::{Operation, ResourceExt};
use crate::event::{Reason, Verdict};

/// The time between two readings of CPU of a sidecar that is looked at again, so long that a short cycle weighs little.
const PAUSE: Duration = Duration::from_secs(2);
/// How much of a sidecar's log is read to see whether it copies.
const LINES: i64 = 200;
const BYTES: i64 = 1 << 20;
const RECENT: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Usage {
    /// The sidecar; servers without it are only measured.
    pub sidecar: Sidecar,
    /// It must use less CPU than this unless it copies.
    pub idle_below: Amount,
    /// The memory of the node that all servers must fit on.
    pub node_memory: Amount,
    /// How long a sidecar is looked at again.
    pub within: Span,
    /// A container that was restarted must have been running for so long since.
    pub restart_window: Span,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    pod: Arc<Pod>,
    containers: Containers,
    /// What it lists as copied, where the sidecar is not idle.
    copied: Option<String>,
    /// What each server of the suite uses in all, or why that is not known.
    servers: BTreeMap<String, Result<Used, String>>,
}

/// A pod and its numbers.
type Measured = Result<(Arc<Pod>, Containers), Verdict>;

impl Kind for Usage {
    type Observation = Observation;
    const NEEDS: &'static [Need] = &[Need::Commands];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        // In a container that comes and goes nothing can be read.
        site.steady_pod(self.restart_window).await?;
        let others = site.servers.iter().filter(|server| *server != site.server());
        let once = |server: String| async move {
            let measured = site.shared.once(format!("usage of {server}"), Box::pin(measure(site, &server))).await;
            (server, measured)
        };
        let (own, others) = tokio::join!(once(site.server().to_owned()), join_all(others.cloned().map(once)));
        let sum = |measured: Measured| match measured {
            Ok((_, containers)) => Ok(total(containers.into_values())),
            Err(verdict) => Err(verdict.reasons.into_iter().next().map_or(verdict.summary, |reason| reason.seen)),
        };
        let mut servers: BTreeMap<_, _> =
            others.into_iter().map(|(server, measured)| (server, sum(measured))).collect();
        let (server, (pod, mut containers)) = (own.0, own.1?);
        let name = &self.sidecar.container;
        let limit = Instant::now() + self.within.0;
        let mut copied = None;
        while containers.get(name).is_some_and(|used| used.cpu >= self.idle_below.number) {
            copied = self.copied(site, &pod).await?;
            if copied.is_some() || Instant::now() >= limit {
                break;
            }
            site.waiting(format!("{name} to be idle"), self.within.0);
            let again = look(site, &server, &pod, name, Some(PAUSE)).await?;
            containers.insert(name.clone(), again);
        }
        servers.insert(server.clone(), Ok(total(containers.values().copied())));
        Ok(Observation { server, pod, containers, copied, servers })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let (mut reasons, mut notes) = (Vec::new(), Vec::new());
        let name = &self.sidecar.container;
        let sidecar = seen.containers.get(name).filter(|used| used.cpu >= self.idle_below.number);
        if let Some(used) = sidecar {
            let object = container::place(&seen.pod, name);
            let now = cpu(used.cpu);
            if let Some(file) = &seen.copied {
                notes.push(format!("{object} uses {now} of CPU: it is busy copying, for example {file}"));
            } else {
                let expected = format!("less than {} of CPU while idle", self.idle_below.text);
                let found = format!("{now} still after {}, and its log lists nothing copied", self.within);
                let hint = "look at its command and log: does it pause between two cycles?";
                reasons.push(Reason::new(object, expected, found).hint(hint));
            }
        }
        for (server, why) in &seen.servers {
            if let Err(why) = why {
                notes.push(format!("server {server} is not in the sum, because it could not be measured: {why}"));
            }
        }
        let known: Vec<_> = seen.servers.values().filter_map(|used| used.as_ref().ok()).copied().collect();
        let (count, sum) = (format!("{} of {}", known.len(), seen.servers.len()), total(known));
        if sum.memory > self.node_memory.number {
            let expected = format!("together no more than the {} of memory of the usual node", self.node_memory.text);
            let hint = "give the node more memory, or lower the limits in the values";
            reasons.push(Reason::new(format!("{count} servers"), expected, memory(sum.memory)).hint(hint));
        }
        let each =
            seen.containers.iter().map(|(name, used)| format!("{name} {}, {}", memory(used.memory), cpu(used.cpu)));
        let summary = format!(
            "{} (from the cgroup files); {count} servers together {} of {}, {}",
            each.collect::<Vec<_>>().join("; "),
            memory(sum.memory),
            self.node_memory.text,
            cpu(sum.cpu)
        );
        Verdict::judged(summary, reasons).notes(notes)
    }
}

impl Usage {
    /// A file that the sidecar lists as copied in its newest cycles.
    async fn copied(&self, site: &Site, pod: &Pod) -> Result<Option<String>, Verdict> {
        let name = &self.sidecar.container;
        let log = site.shared.cluster.log_tail(&pod.name_any(), name, LINES, BYTES).await;
        let log = log.map_err(|error| site.no_answer(&error))?;
        let since = container::named(pod, name).and_then(|view| view.running_since()).unwrap_or(Timestamp::MAX);
        // Files of this run are no excuse: they are copied in a moment.
        let log: Vec<_> = log.into_iter().filter(|(_, line)| !line.contains(&site.shared.run)).collect();
        Ok(used::copied(&log, since, site.shared.cluster.now() - RECENT, &self.sidecar.cycle_end.0))
    }
}

/// Measures a server's running containers, in them.
async fn measure(site: &Site, server: &str) -> Measured {
    let population = site.server_settled(server).await?;
    let server_now = population.server(&site.select, server);
    let current = server_now.current();
    let [pod] = current[..] else {
        let reason = Reason::new(format!("server {server}"), "exactly one current pod", counted(&current));
        return Err(Verdict::blocked(format!("pods::{server}"), reason));
    };
    let views = container::all(pod);
    let running = views.iter().filter(|view| view.kind != container::Kind::Ephemeral && view.running_since().is_some());
    let looks = running.map(|view| async {
        Ok::<_, Verdict>((view.name.to_owned(), look(site, server, pod, view.name, None).await?))
    });
    Ok((Arc::clone(pod), try_join_all(looks).await?.into_iter().collect()))
}

/// Reads a container's cgroup files twice. The first time without a pause: for most containers their whole life tells
/// enough.
async fn look(site: &Site, server: &str, pod: &Pod, name: &str, pause: Option<Duration>) -> Result<Used, Verdict> {
    let before = read(site, server, pod, name).await?;
    if let Some(pause) = pause {
        tokio::time::sleep(pause).await;
    }
    let after = read(site, server, pod, name).await?;
    let since = container::named(pod, name).and_then(|view| view.running_since());
    let age = since.map_or(SignedDuration::ZERO, |since| site.shared.cluster.now().duration_since(since));
    Ok(used::between(before, after, age))
}

async fn read(site: &Site, server: &str, pod: &Pod, name: &str) -> Result<used::Reading, Verdict> {
    let (output, problem) = site.try_exec_of(server, pod, name, &Operation::Usage).await?;
    used::reading(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        let (object, why) = (container::place(pod, name), problem.unwrap_or("they are not as expected".to_owned()));
        Verdict::skip(format!("the cgroup files of {object} cannot be read: {why}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::output_pod;
    use crate::event::Outcome;

    #[test]
    fn an_idle_sidecar_and_less_memory_than_the_node_has_pass() {
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
                "server": "nas-output-1", "pod": output_pod(), "copied": copied,
                "containers": {"nfs-server": {"memory": 1e6, "cpu": 0.9}, "sync-to-windows": {"memory": 1e6, "cpu": sidecar}},
                "servers": {"nas-output-1": {"Ok": {"memory": 2e6, "cpu": 0.9}}, "nas-output-2": other}
            });
            let check = json!({
                "sidecar": {"container": "sync-to-windows", "cycle-end": "Synced", "interval": r"^Sync interval: (\d+)s"},
                "idle-below": "50m", "node-memory": "8Gi", "within": "10s", "restart-window": "10m"
            });
            let check: Usage = serde_json::from_value(check).unwrap();
            let verdict = check.judge(&serde_json::from_value(seen).unwrap());
            assert_eq!((verdict.outcome, verdict.notes.len()), (outcome, notes), "{verdict:?}");
        }
    }
}
