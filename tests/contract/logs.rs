//! Container logs.

use std::time::Duration;

use file_simulator_e2e::cluster::{ApiError, LogLine, LogPatterns, LogState, Operation};
use file_simulator_e2e::suite::load::load;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::support::speed::scaled;

use super::clusters::Connected;
use super::commands::pod;

const SIDECAR: &str = "sync-to-windows";

fn patterns() -> LogPatterns {
    load("phase3").unwrap().system.log_patterns().unwrap()
}

fn run() -> String {
    format!("e2e-contract-cycle-{}", std::process::id())
}

pub async fn lines_have_timestamps_and_can_be_limited(api: Connected) {
    let pod = pod(&api, "nas-output-1").await;
    let followed = api.cluster.follow_log(&pod, SIDECAR, patterns(), &run());
    let limit = Instant::now() + scaled(Duration::from_secs(60));
    assert!(followed.wait_for(limit, |log| log.ends_after(Timestamp::UNIX_EPOCH) > 1).await, "fewer than two cycles");
    let all = api.cluster.log(&pod, SIDECAR, None, 1 << 20).await.unwrap();
    assert!(all[0].1.contains("Sync Sidecar Starting ==="), "{:?}", all[0]);
    assert!(all.is_sorted_by_key(|(stamp, _)| *stamp) && all.len() > 8, "{all:?}");
    let end = all.iter().position(|(_, line)| patterns().end.is_match(line)).unwrap();
    let begin = all[..end].iter().rposition(|(_, line)| line == "sending incremental file list").unwrap();
    let cycle: Vec<_> = all[begin..end].iter().map(|(_, line)| line.as_str()).collect();
    assert!(cycle.len() >= 4 && cycle[cycle.len() - 3].is_empty(), "{cycle:?}");
    assert!(
        cycle[cycle.len() - 2].starts_with("sent ") && cycle[cycle.len() - 1].starts_with("total size is "),
        "{cycle:?}"
    );
    let tail = api.cluster.log_tail(&pod, SIDECAR, 3, 1 << 20).await.unwrap();
    assert!(tail.len() == 3 && tail[0].0 > all[0].0, "{tail:?}");
    let (moment, _) = all[all.len() - 1];
    let since = api.cluster.log(&pod, SIDECAR, Some(moment), 1 << 20).await.unwrap();
    let is_recent = |line: &LogLine| line.0 >= moment - Duration::from_secs(1);
    assert!(since.iter().any(|(stamp, _)| *stamp == moment) && since.iter().all(is_recent), "{moment}: {since:?}");
    let short = api.cluster.log(&pod, SIDECAR, None, 100).await.unwrap();
    assert!(short.len() < 4 && short.iter().map(|(_, line)| line.len()).sum::<usize>() <= 100, "{short:?}");
    let container = api.cluster.log(&pod, "no-such-container", None, 100).await.unwrap_err();
    assert!(container.to_string().contains("container no-such-container is not valid for pod"), "{container}");
    let missing = api.cluster.log("no-such-pod", SIDECAR, None, 100).await.unwrap_err();
    assert!(matches!(missing, ApiError::NotFound { .. }), "{missing}");
    let init = api.cluster.log(&pod, "sync-windows-data", None, 1 << 20).await.unwrap();
    assert!(init.last().unwrap().1.contains("Init Container Complete"), "{init:?}");
    // A previous run exists only if the node was restarted.
    match api.cluster.previous_log_tail(&pod, "sync-windows-data", 3, 1 << 20).await {
        Ok(before) => assert!(!before.is_empty() && before.len() <= 3, "{before:?}"),
        Err(error) => {
            let expected = format!("previous terminated container \"sync-windows-data\" in pod \"{pod}\" not found");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

pub async fn a_followed_log_shows_sync_cycles_as_they_end(api: Connected) {
    let pod = pod(&api, "nas-output-3").await;
    let followed = api.cluster.follow_log(&pod, SIDECAR, patterns(), &run());
    let limit = Instant::now() + scaled(Duration::from_secs(60));
    let name = format!("{}.txt", run());
    let path = format!("/data/{name}");
    let write = Operation::Write { path: path.clone(), content: "abc".into() };
    api.cluster.exec(&pod, "nfs-server", &[write]).await.unwrap();
    let is_copied = |log: &LogState| log.listings(&name).first().is_some_and(|listed| log.ends_after(*listed) > 0);
    assert!(followed.wait_for(limit, is_copied).await, "no cycle lists the file");
    let stamps = followed.state().listings(&name);
    assert_eq!(stamps.len(), 1, "copied once");
    let before = api.cluster.now();
    assert!(followed.wait_for(limit, |log| log.ends_after(stamps[0]) > 1).await, "no further cycle");
    assert!(before >= stamps[0] - Duration::from_secs(2), "the clocks differ");
    assert_eq!(followed.state().listings(&name).len(), 1, "copied once only");
    assert!(followed.wait_for_pause(limit).await);
    let remove = Operation::Remove { path };
    api.cluster.exec(&pod, "nfs-server", &[remove]).await.unwrap();
    let copy = Operation::Remove { path: format!("/windows-mount/{name}") };
    api.cluster.exec(&pod, SIDECAR, &[copy]).await.unwrap();
}
