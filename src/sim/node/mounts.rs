//! Maps paths in containers to paths on this machine: volumes, mounts, and the containers' root filesystems.

use std::collections::HashMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::PoisonError;

use serde_json::Value;

use super::container::{Container, lock};
use crate::sim::object::{items, text, uid};
use crate::sim::world::World;

/// The host folder on the node.
const DATA: &str = "/mnt/simulator-data";

pub(super) struct Place {
    pub host: PathBuf,
    /// The path in the container.
    pub path: String,
    pub read_only: bool,
}

impl Place {
    pub fn writable(&self) -> io::Result<()> {
        if self.read_only { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }
}

pub(super) fn mount(world: &World, pod: &Value) {
    let volumes = items(&pod["spec"]["volumes"]).filter_map(|volume| {
        let path = match volume["hostPath"]["path"].as_str() {
            Some(path) => match Path::new(path).strip_prefix(DATA) {
                Ok(rest) => join(&world.data, &rest.to_string_lossy()),
                Err(_) => join(&world.node.join("host"), path),
            },
            None => join(&world.node.join("pods").join(uid(pod)), text(&volume["name"])),
        };
        // A folder that cannot be created shows up as an error when the container uses it.
        let path = path.and_then(|path| fs::create_dir_all(&path).map(|()| path)).ok()?;
        Some((text(&volume["name"]).to_owned(), path))
    });
    let volumes = volumes.collect();
    lock(&world.kubelet.mounts).insert(uid(pod).to_owned(), volumes);
}

pub(super) fn unmount(world: &World, uid: &str) {
    // A running operation in the pod must not find empty folders.
    let _files = lock(&world.kubelet.files);
    lock(&world.kubelet.mounts).remove(uid);
    for kind in ["pods", "roots"] {
        let _ = fs::remove_dir_all(world.node.join(kind).join(uid));
    }
}

impl Container {
    /// Fails if the path is invalid on this machine or the volume is not mounted.
    pub(super) fn place(&self, path: &str) -> io::Result<Place> {
        let (world, pod) = (&self.world, uid(&self.pod));
        let within =
            |mount: &Value| Some(Path::new(path).strip_prefix(text(&mount["mountPath"])).ok()?.to_str()?.to_owned());
        let inside = items(&self.spec()["volumeMounts"]).filter_map(|mount| Some((mount, within(mount)?)));
        let (host, read_only) = match inside.min_by_key(|(_, rest)| rest.len()) {
            None => (join(&world.node.join("roots").join(pod).join(&self.name), path)?, false),
            Some((mount, rest)) => {
                let mounts = lock(&world.kubelet.mounts);
                let volume = mounts.get(pod).and_then(|volumes| volumes.get(text(&mount["name"])));
                (join(volume.ok_or(ErrorKind::NotFound)?, &rest)?, mount["readOnly"] == true)
            }
        };
        Ok(Place { host, path: path.to_owned(), read_only })
    }
}

/// Moves a server's host folder away; running pods keep it mounted.
pub(in crate::sim) fn move_folder_away(world: &World, server: &str) -> io::Result<()> {
    let [from, to] = [&world.data, &world.node].map(|folder| folder.join(server));
    let _copies = world.kubelet.copies.write().unwrap_or_else(PoisonError::into_inner);
    // Waits for a running operation, which has already resolved its paths.
    let _files = lock(&world.kubelet.files);
    let mut mounts = lock(&world.kubelet.mounts);
    fs::rename(&from, &to)?;
    for path in mounts.values_mut().flat_map(HashMap::values_mut).filter(|path| **path == from) {
        path.clone_from(&to);
    }
    Ok(())
}

/// Appends a container's or node's path to a folder of this machine; the result is always in that folder.
fn join(folder: &Path, path: &str) -> io::Result<PathBuf> {
    let mut joined = folder.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        // On Windows, `C:` and `a\b` are more than one name.
        if !Path::new(part).components().eq([Component::Normal(part.as_ref())]) {
            return Err(ErrorKind::InvalidInput.into());
        }
        joined.push(part);
    }
    Ok(joined)
}

pub(super) fn linux_message(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "No such file or directory".to_owned(),
        ErrorKind::IsADirectory => "Is a directory".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "Read-only file system".to_owned(),
        ErrorKind::StorageFull => "No space left on device".to_owned(),
        _ => error.to_string(),
    }
}
