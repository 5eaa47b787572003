//! What a path in a container is on this machine: volumes, mounts, containers' own roots, and faults of folders.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::{array, containers, text, uid};
use crate::sim::World;
use crate::sim::scenario::Place as Is;
use crate::sim::store::Kind;

/// The tester's folder on the node.
const DATA: &str = "/mnt/simulator-data";

/// What is mounted; as on Linux a mount stays what it was when its folder is renamed or made anew.
#[derive(Default)]
pub struct Mounts(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By pod and volume.
    volumes: HashMap<String, HashMap<String, PathBuf>>,
    is_unmounted: bool,
    read_only: Vec<PathBuf>,
    old: usize,
}

impl Mounts {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file or folder in a container.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where it is on this machine.
    pub host: PathBuf,
    /// Its path in the container.
    pub path: String,
    /// Whether writes to it are refused.
    pub read_only: bool,
    /// Whether it is a mount, or the root: it cannot be removed.
    pub is_mount: bool,
}

/// Mounts a pod's volumes, unless they are.
pub fn mount(world: &World, pod: &Value) -> io::Result<()> {
    let mut table = world.kubelet.mounts.lock();
    if table.volumes.contains_key(uid(pod)) {
        return Ok(());
    }
    let mut volumes = HashMap::new();
    for volume in array(&pod["spec"]["volumes"]) {
        let name = parts(text(&volume["name"]))?.concat();
        let path = match volume["hostPath"]["path"].as_str() {
            Some(path) => table.host_path(world, path)?,
            None => world.node.join("pods").join(uid(pod)).join(&name),
        };
        if volume["hostPath"]["type"] != "Directory" {
            fs::create_dir_all(&path)?;
        } else if !path.is_dir() {
            return Err(ErrorKind::NotADirectory.into());
        }
        volumes.insert(name, path);
    }
    table.volumes.insert(uid(pod).to_owned(), volumes);
    Ok(())
}

/// Forgets a pod that has ended, with its own folders.
pub fn unmount(world: &World, uid: &str) {
    world.kubelet.mounts.lock().volumes.remove(uid);
    for kind in ["pods", "roots"] {
        let [folder, gone] = [uid.to_owned(), format!("{uid}-gone")].map(|name| world.node.join(kind).join(name));
        // Away in one go: a copy that is under way must not take it for emptied. What cannot be removed goes with the node.
        let _ = fs::rename(folder, &gone).and_then(|()| fs::remove_dir_all(gone));
    }
}

/// What a path in a container is.
///
/// # Errors
/// It cannot be a path on this machine, or its volume is not mounted.
pub fn place(world: &World, pod: &Value, container: &str, path: &str) -> io::Result<Place> {
    let wanted = parts(path)?;
    let spec = containers(pod).find(|spec| spec["name"] == container).ok_or(ErrorKind::NotFound)?;
    let mut best: Option<(&Value, usize)> = None;
    for mount in array(&spec["volumeMounts"]) {
        let at = parts(text(&mount["mountPath"]))?;
        if wanted.starts_with(&at) && best.is_none_or(|(_, length)| at.len() >= length) {
            best = Some((mount, at.len()));
        }
    }
    let table = world.kubelet.mounts.lock();
    let (mut host, mut read_only, skipped) = match best {
        None => (world.node.join("roots").join(uid(pod)).join(container), false, 0),
        Some((mount, length)) => {
            let volume = table.volumes.get(uid(pod)).and_then(|volumes| volumes.get(text(&mount["name"])));
            let mut host = volume.ok_or(ErrorKind::NotFound)?.clone();
            host.extend(parts(text(&mount["subPath"]))?);
            (host, mount["readOnly"] == true, length)
        }
    };
    read_only |= table.read_only.iter().any(|folder| host.starts_with(folder));
    host.extend(&wanted[skipped..]);
    Ok(Place { host, path: path.to_owned(), read_only, is_mount: wanted.len() == skipped })
}

/// Puts something else in the place of a server's folder.
///
/// # Errors
/// The folder cannot be changed.
pub fn folder(world: &Arc<World>, server: &str, is: Is) -> io::Result<()> {
    // Pods that run already have the folder as it was.
    for pod in world.store.list(Kind::Pod).1 {
        // One that has no mounts yet is told of that when it starts.
        let _ = mount(world, &pod);
    }
    let own = world.data.join(server);
    let mut table = world.kubelet.mounts.lock();
    match is {
        Is::ReadOnly => table.read_only.push(own),
        Is::Unmounted => {
            table.is_unmounted = true;
            let empty = table.host_path(world, DATA)?;
            table.turn(&world.data, &empty)?;
        }
        Is::Missing | Is::MadeAnew | Is::File => {
            table.old += 1;
            let old = world.node.join("old").join(format!("{server}-{}", table.old));
            fs::create_dir_all(&world.data)?;
            fs::create_dir_all(&old)?;
            if own.exists() {
                fs::remove_dir(&old)?;
                fs::rename(&own, &old)?;
            }
            table.turn(&own, &old)?;
            match is {
                Is::MadeAnew => fs::create_dir(&own)?,
                Is::File => fs::write(&own, "")?,
                _ => {}
            }
        }
    }
    Ok(())
}

impl Table {
    /// A folder of the node.
    fn host_path(&self, world: &World, path: &str) -> io::Result<PathBuf> {
        let (parts, data) = (parts(path)?, parts(DATA)?);
        Ok(match parts.strip_prefix(data.as_slice()) {
            Some(rest) if !self.is_unmounted => join(&world.data, rest),
            _ => join(&world.node.join("host"), &parts),
        })
    }

    /// Lets all mounts of a folder, and what is below it, be another one.
    fn turn(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        for path in self.volumes.values_mut().flat_map(HashMap::values_mut) {
            if let Ok(rest) = path.strip_prefix(from) {
                *path = to.components().chain(rest.components()).collect();
                fs::create_dir_all(path)?;
            }
        }
        Ok(())
    }
}

fn join(folder: &Path, parts: &[&str]) -> PathBuf {
    let mut path = folder.to_owned();
    path.extend(parts);
    path
}

/// The names in a path; `..` of the root is the root, as everywhere in a container.
fn parts(path: &str) -> io::Result<Vec<&str>> {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        // On Windows `C:` and `a\b` are more than names.
        let is_name = Path::new(part).components().eq([std::path::Component::Normal(part.as_ref())]);
        match part {
            ".." => drop(parts.pop()),
            _ if is_name => parts.push(part),
            _ => return Err(ErrorKind::InvalidInput.into()),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[tokio::test]
    async fn a_path_is_in_the_mount_that_is_nearest_and_never_outside() {
        let (world, pod, _folder) = example::pod();
        let at = |path: &str| place(&world, &pod, "sync-to-windows", path).unwrap();
        let export = world.node.join("pods").join(uid(&pod)).join("nfs-export");
        assert_eq!(at("/nfs-data/a/../../nfs-data/./b").host, export.join("b"));
        assert!(at("/nfs-data").read_only && at("/nfs-data").is_mount && !at("/nfs-data/a").is_mount);
        assert_eq!(at("/windows-mount/a").host, world.data.join("nas-output-1/a"));
        let root = world.node.join("roots").join(uid(&pod)).join("sync-to-windows");
        assert_eq!(at("/nfs-data/../../../../etc/x").host, root.join("etc/x"));
        assert_eq!(at("/nfs-data-2").host, root.join("nfs-data-2"));
    }

    #[tokio::test]
    async fn a_pod_that_runs_keeps_the_folder_that_was_renamed() {
        let (world, pod, _folder) = example::pod();
        let own = world.data.join("nas-output-1");
        fs::write(own.join("a"), "").unwrap();
        let inside = || place(&world, &pod, "sync-to-windows", "/windows-mount").unwrap();
        folder(&world, "nas-output-1", Is::MadeAnew).unwrap();
        assert!(inside().host.join("a").exists() && own.is_dir() && !own.join("a").exists());
        folder(&world, "nas-output-1", Is::File).unwrap();
        assert!(inside().host.join("a").exists() && own.is_file());
        folder(&world, "nas-output-1", Is::ReadOnly).unwrap();
        assert!(!inside().read_only, "that is the new one");
    }

    #[tokio::test]
    async fn without_the_mount_pods_see_empty_folders() {
        let (world, pod, _folder) = example::pod();
        fs::write(world.data.join("nas-output-1/a"), "").unwrap();
        folder(&world, "nas-output-1", Is::Unmounted).unwrap();
        let inside = place(&world, &pod, "sync-to-windows", "/windows-mount").unwrap();
        assert!(inside.host.is_dir() && !inside.host.join("a").exists());
    }
}
