//! What a path in a container is on this machine: volumes, mounts, containers' own roots, and faults of folders.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::lock;
use crate::sim::World;
use crate::sim::object::{containers, items, text, uid};
use crate::sim::scenario::Instead;

/// The tester's folder on the node.
const DATA: &str = "/mnt/simulator-data";

/// What is mounted; as on Linux a mount stays what it was when its folder is renamed or made anew.
#[derive(Default)]
pub(super) struct Mounts {
    /// By pod and volume.
    volumes: HashMap<String, HashMap<String, PathBuf>>,
    is_unmounted: bool,
    read_only: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Where it is on this machine.
    pub host: PathBuf,
    pub path: String,
    /// Whether writes to it are refused.
    pub read_only: bool,
}

pub(super) fn mount(world: &World, pod: &Value) {
    let mut mounts = lock(&world.kubelet.mounts);
    let volumes = items(&pod["spec"]["volumes"]).filter_map(|volume| {
        let path = match volume["hostPath"]["path"].as_str() {
            Some(path) => mounts.host_path(world, path),
            None => join(&world.node.join("pods").join(uid(pod)), text(&volume["name"])),
        };
        // One that cannot be made is missed by who uses it.
        let path = path.and_then(|path| fs::create_dir_all(&path).map(|()| path)).ok()?;
        Some((text(&volume["name"]).to_owned(), path))
    });
    let volumes = volumes.collect();
    mounts.volumes.insert(uid(pod).to_owned(), volumes);
}

/// Forgets a pod that has ended, with its own folders.
pub(super) fn unmount(world: &World, uid: &str) {
    lock(&world.kubelet.mounts).volumes.remove(uid);
    for kind in ["pods", "roots"] {
        let [folder, gone] = [uid.to_owned(), format!("{uid}-gone")].map(|name| world.node.join(kind).join(name));
        // Away in one go: a copy that is under way must not take it for emptied. What cannot be removed goes with the node.
        let _ = fs::rename(folder, &gone).and_then(|()| fs::remove_dir_all(gone));
    }
}

/// What a path in a container is; an error if it is none on this machine, or its volume is not mounted.
pub(super) fn place(world: &World, pod: &Value, container: &str, path: &str) -> io::Result<Place> {
    let spec = containers(pod).find(|spec| spec["name"] == container).ok_or(ErrorKind::NotFound)?;
    let within =
        |mount: &Value| Some(Path::new(path).strip_prefix(text(&mount["mountPath"])).ok()?.to_str()?.to_owned());
    let inside = items(&spec["volumeMounts"]).filter_map(|mount| Some((mount, within(mount)?)));
    let nearest = inside.min_by_key(|(_, rest)| rest.len());
    let mounts = lock(&world.kubelet.mounts);
    let (host, read_only) = match nearest {
        None => (join(&world.node.join("roots").join(uid(pod)).join(container), path)?, false),
        Some((mount, rest)) => {
            let volume = mounts.volumes.get(uid(pod)).and_then(|volumes| volumes.get(text(&mount["name"])));
            (join(volume.ok_or(ErrorKind::NotFound)?, &rest)?, mount["readOnly"] == true)
        }
    };
    let read_only = read_only || mounts.read_only.iter().any(|folder| host.starts_with(folder));
    Ok(Place { host, path: path.to_owned(), read_only })
}

/// Puts something else in the place of a server's folder; pods that run keep what they have mounted.
pub(in crate::sim) fn folder(world: &World, server: &str, instead: Instead) -> io::Result<()> {
    let own = world.data.join(server);
    // An operation that is under way has its paths already.
    let _whole = lock(&world.kubelet.files);
    let mut mounts = lock(&world.kubelet.mounts);
    match instead {
        Instead::ReadOnly => mounts.read_only.push(own),
        Instead::Unmounted => {
            mounts.is_unmounted = true;
            let empty = mounts.host_path(world, DATA)?;
            mounts.turn(&world.data, &empty)?;
        }
        Instead::Missing | Instead::File => {
            let old = world.node.join("old").join(server);
            fs::create_dir_all(world.node.join("old"))?;
            fs::rename(&own, &old)?;
            mounts.turn(&own, &old)?;
            if instead == Instead::File {
                fs::write(&own, "")?;
            }
        }
    }
    Ok(())
}

impl Mounts {
    fn host_path(&self, world: &World, path: &str) -> io::Result<PathBuf> {
        match Path::new(path).strip_prefix(DATA) {
            Ok(rest) if !self.is_unmounted => join(&world.data, &rest.to_string_lossy()),
            _ => join(&world.node.join("host"), path),
        }
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

/// A path of a container or of the node below a folder of this machine, and never outside of it.
fn join(folder: &Path, path: &str) -> io::Result<PathBuf> {
    let mut joined = folder.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // On Windows `C:` and `a\b` are more than names.
        if !Path::new(part).components().eq([Component::Normal(part.as_ref())]) {
            return Err(ErrorKind::InvalidInput.into());
        }
        joined.push(part);
    }
    Ok(joined)
}
