//! CPU and memory of containers, as reported by metrics-server and the kernel. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::quantity;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Used {
    pub memory: f64,
    pub cpu: f64,
}

pub type Containers = BTreeMap<String, Used>;

/// What metrics-server reports for these containers; `None` if one of them is missing.
pub fn from_metrics(data: &Value, names: &[&str]) -> Option<Containers> {
    let container = |name: &&str| {
        let usage = &data["containers"].as_array()?.iter().find(|container| container["name"] == *name)?["usage"];
        let amount = |key: &str| quantity::number(usage[key].as_str()?);
        Some(((*name).to_owned(), Used { memory: amount("memory")?, cpu: amount("cpu")? }))
    };
    names.iter().map(container).collect()
}

#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// In bytes.
    memory: u64,
    /// The node's uptime in hundredths of a second.
    uptime: u64,
    /// The CPU time used so far, in nanoseconds.
    cpu: u64,
}

pub fn reading(text: &str) -> Option<Reading> {
    let numbers: Vec<u64> = text.split_whitespace().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [memory, uptime, cpu] = numbers[..] else { return None };
    Some(Reading { memory, uptime, cpu })
}

/// What a container uses; `age` is its age at the second reading.
///
/// CPU is the lower of the usage between the readings and the mean since the container's start: the reading itself,
/// like every command in the container, uses CPU too.
#[allow(clippy::cast_precision_loss, reason = "2^53 ns are 104 days of CPU time, and the last digits do not matter")]
pub fn between(before: Reading, after: Reading, age: SignedDuration) -> Used {
    let window = Duration::from_millis(10 * after.uptime.saturating_sub(before.uptime));
    let cores = |nanos: u64, time: f64| if time > 0.0 { nanos as f64 / 1e9 / time } else { f64::INFINITY };
    let now = cores(after.cpu.saturating_sub(before.cpu), window.as_secs_f64());
    let mean = cores(after.cpu, age.as_secs_f64());
    Used { memory: after.memory as f64, cpu: now.min(mean) }
}

pub fn total(all: impl IntoIterator<Item = Used>) -> Used {
    let (memory, cpu) = all.into_iter().fold((0.0, 0.0), |(memory, cpu), one| (memory + one.memory, cpu + one.cpu));
    Used { memory, cpu }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::quantity::{cpu, memory};
    use super::*;

    #[test]
    fn the_lower_of_recent_and_mean_cpu_counts() {
        let [before, after] =
            ["1728512\n189275\n1000000000\n", "1728512\n189295\n1020000000\n"].map(|text| reading(text).unwrap());
        let cores = |seconds| cpu(between(before, after, SignedDuration::from_secs(seconds)).cpu);
        assert_eq!(cores(10), "100m", "20 ms in 200 ms");
        assert_eq!(cores(100), "10m", "1.02 s in 100 s");
        assert_eq!(cores(-5), "100m", "the node's clock is ahead");
        for broken in ["", "1\n2", "1\n2\n3\n4", "no\n1\n2"] {
            assert!(reading(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn metrics_count_only_if_they_cover_every_container() {
        let data = json!({"containers": [{"name": "a", "usage": {"cpu": "1234567n", "memory": "1024Ki"}}]});
        let used = from_metrics(&data, &["a"]).unwrap()["a"];
        assert_eq!((memory(used.memory), cpu(used.cpu)), ("1.0Mi".into(), "1m".into()));
        assert!(from_metrics(&data, &["a", "b"]).is_none());
    }
}
