//! The tester's folder, and whether pods mount just that one, as far as names tell: nothing is written.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;

use super::super::preflight;
use super::finding::Finding;
use crate::check::remount;
use crate::cluster::container::{self, tester_folders};
use crate::cluster::{ApiError, Cluster, Operation, Population, ResourceExt, Trouble};
use crate::host::{Entry, Host};
use crate::suite::{self, Suite};

/// More files than this are not compared.
const MOST: usize = 5_000;
/// Nor are lists of names that are longer.
const LIST: usize = 256 << 10;

/// The folder, with one for each server.
pub async fn folders(host: &Host, suites: &[Suite]) -> Vec<Finding> {
    if let Err(refusal) = preflight::folder(host).await {
        return vec![Finding::refused("folder", refusal)];
    }
    let servers: Vec<&String> = suite::servers(suites).map(|(_, server)| server).collect();
    let looks =
        servers.iter().map(async |server| (host.folder(server).display().to_string(), host.entry(server).await));
    let mut found: Vec<Finding> = join_all(looks)
        .await
        .into_iter()
        .filter(|(_, entry)| *entry != Entry::Folder)
        .map(|(folder, entry)| {
            let hint = "make it, and restart the server's pod if there is one, which would never see the new folder; or \
                        name another folder with --host-data";
            Finding::fail("folder", format!("{folder}: {entry}"), hint)
        })
        .collect();
    if found.is_empty() {
        let seen = format!("{}, with a folder for each of {} servers", host.root().display(), servers.len());
        found.push(Finding::pass("folder", seen));
    }
    found
}

/// What the names in a folder, here and in a pod, tell.
enum Told {
    /// So many names, the same on both sides.
    Same(usize),
    /// There are none.
    Nothing,
    /// What differs, and what to do.
    Other(String, String),
    /// No command gets there: what is said in place of an answer.
    Blocked(Trouble),
    /// Why nothing is known.
    Unknown(String),
}

/// Whether the folders that running containers mount are the tester's.
pub async fn mounts(cluster: &Cluster, host: &Host, population: &Population, suites: &[Suite]) -> Vec<Finding> {
    let mut looks = Vec::new();
    for (suite, server) in suite::servers(suites) {
        for pod in population.server(&suite.pods, server).current() {
            looks.push(mount(cluster, host, server, Arc::clone(pod)).boxed_local());
        }
    }
    let told: Vec<_> = join_all(looks).await.into_iter().flatten().collect();
    let same: Vec<usize> =
        told.iter().filter_map(|(_, told)| if let Told::Same(names) = told { Some(*names) } else { None }).collect();
    let mut found = Vec::new();
    if !same.is_empty() {
        let names: usize = same.iter().sum();
        found.push(Finding::pass(
            "mount",
            format!("{} mounted folders have the same {names} files as here", same.len()),
        ));
    }
    let later = "the tests host-mount write a file, and tell for sure";
    for (place, told) in &told {
        found.extend(match told {
            Told::Same(_) | Told::Unknown(_) | Told::Blocked(_) => None,
            Told::Nothing if !same.is_empty() => None,
            Told::Nothing => Some(Finding::warn("mount", format!("{place}: no file here or there to compare"), later)),
            Told::Other(seen, hint) => Some(Finding::fail("mount", format!("{place}: {seen}"), hint.as_str())),
        });
    }
    found.extend(told.iter().find_map(|(_, told)| match told {
        Told::Blocked(trouble) => Some(Finding::fail("commands", trouble.to_string(), trouble.hint())),
        _ => None,
    }));
    // Usually they are all alike.
    let unknown: Vec<_> = told
        .iter()
        .filter_map(|(place, told)| if let Told::Unknown(why) = told { Some((place, why)) } else { None })
        .collect();
    if let [(place, why), ..] = unknown[..] {
        let seen = format!("{} of {} cannot be compared, such as {place}: {why}", unknown.len(), told.len());
        found.push(Finding::warn("mount", seen, later));
    }
    if told.is_empty() {
        let seen = "no running container mounts a folder of this machine, so there is nothing to compare";
        found.push(Finding::warn("mount", seen, "look at the pods of the output servers, whose sidecars do"));
    }
    found
}

/// Compares names where a running container mounts the server's folder.
async fn mount(cluster: &Cluster, host: &Host, server: &str, pod: Arc<Pod>) -> Option<(String, Told)> {
    let views = container::all(&pod);
    let mut running = views.iter().filter(|view| view.running_since().is_some());
    let (view, mount) = running.find_map(|view| Some((view, *tester_folders(&pod, view, server).first()?)))?;
    let place = format!("{}, {}", container::place(&pod, view.name), mount.mount_path);
    let list = [Operation::Files { folder: mount.mount_path.to_owned(), most: LIST }];
    let mut told = Told::Nothing;
    // What differs once may just have been copied.
    for _ in 0..2 {
        told = match names(cluster, host, server, &pod.name_any(), view.name, &list).await {
            Err(told) => told,
            Ok((here, there)) if here == there && here.is_empty() => Told::Nothing,
            Ok((here, there)) if here == there => Told::Same(here.len()),
            Ok((here, there)) => {
                let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
                    let mut only = these.difference(those);
                    let first = only.next().map(|name| format!(", such as {name}")).unwrap_or_default();
                    format!("{} files{first}", these.difference(those).count())
                };
                let folder = host.folder(server);
                let seen = format!(
                    "it is not {} as it is here: only here {}; only there {}",
                    folder.display(),
                    only(&here, &there),
                    only(&there, &here)
                );
                Told::Other(
                    seen,
                    remount(
                        [cluster.context(), cluster.namespace(), &pod.name_any()],
                        &host.root().display().to_string(),
                        mount.path,
                    ),
                )
            }
        };
        if !matches!(told, Told::Other(..)) {
            break;
        }
    }
    Some((place, told))
}

/// The names of all files, here and there.
async fn names(
    cluster: &Cluster,
    host: &Host,
    server: &str,
    pod: &str,
    container: &str,
    list: &[Operation],
) -> Result<(BTreeSet<String>, BTreeSet<String>), Told> {
    let (here, there) = tokio::join!(host.files(server, MOST), cluster.exec(pod, container, list));
    let here = here.map_err(|error| Told::Unknown(error.to_string()))?;
    let there = there.map_err(|error| match error {
        ApiError::OnTheWay(.., trouble @ Trouble::NoWebsocket(_)) => Told::Blocked(trouble),
        error => Told::Unknown(error.to_string()),
    })?;
    let there = there.into_iter().next().ok_or_else(|| Told::Unknown("no output".to_owned()))?;
    if let Some(problem) = there.problem() {
        return Err(Told::Unknown(problem));
    }
    if there.stdout.len() >= LIST {
        return Err(Told::Unknown(format!("the list of files is longer than {LIST} bytes")));
    }
    let there = there.stdout.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let there = there.map(|path| path.trim_start_matches("./").to_owned()).filter(|path| !path.is_empty());
    Ok((here.into_iter().collect(), there.collect()))
}
