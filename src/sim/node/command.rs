//! What the harness does in a container: its operations, each as its script would do it with busybox.

use std::fmt::Write;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use serde_json::Value;

use super::mounts::{self, Place};
use super::network::{endpoints, service_port, target};
use super::{array, containers, server_of, text};
use crate::cluster::Operation;
use crate::sim::scenario::Behaviour;
use crate::sim::store::Kind;
use crate::sim::{NAMESPACE, World};

/// The cluster's name server.
const NAME_SERVER: &str = "10.96.0.10";
/// The node's uptime when the cluster was started.
const UPTIME: u64 = 86_400;

/// How a command ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in crate::sim) struct Done {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The exit code.
    pub code: i32,
}

/// What goes to standard error, and the exit code.
type Failure = (String, i32);

/// Does an operation in a container of a pod.
pub(in crate::sim) async fn run(world: &Arc<World>, pod: &str, container: &str, operation: &Operation) -> Done {
    let Some(pod) = world.store.get(Kind::Pod, pod) else { return done(Vec::new(), Err((String::new(), 137))) };
    match operation {
        Operation::Usage => done(usage(world, &pod, container).into_bytes(), Ok(())),
        Operation::Resolve { names } => done(resolve(world, names).into_bytes(), Ok(())),
        Operation::Connect { address, port } => done(Vec::new(), connect(world, &pod, address, *port)),
        _ => {
            let (world, container, operation) = (Arc::clone(world), container.to_owned(), operation.clone());
            let work = move || {
                let _whole = world.kubelet.files.lock().unwrap_or_else(PoisonError::into_inner);
                let shell = Shell { world: &world, pod: &pod, container: &container };
                let mut stdout = Vec::new();
                let ended = shell.run(&operation, &mut stdout);
                done(stdout, ended)
            };
            tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| done(Vec::new(), Err((String::new(), 1))))
        }
    }
}

fn done(stdout: Vec<u8>, ended: Result<(), Failure>) -> Done {
    match ended {
        Ok(()) => Done { stdout, ..Done::default() },
        Err((stderr, code)) => Done { stdout, stderr: stderr.into_bytes(), code },
    }
}

struct Shell<'a> {
    world: &'a World,
    pod: &'a Value,
    container: &'a str,
}

impl Shell<'_> {
    fn run(&self, operation: &Operation, stdout: &mut Vec<u8>) -> Result<(), Failure> {
        match operation {
            Operation::Write { path, content } => self.write(path, content.as_bytes()),
            Operation::Fill { path, line, bytes } => self.write(path, &Operation::filling(line, *bytes)),
            Operation::Read { path } => self.read(path, stdout),
            Operation::WriteNested { folder, name, content } => {
                self.make(folder)?;
                let path = format!("{folder}/{name}");
                self.write(&path, content.as_bytes())?;
                self.read(&path, stdout)
            }
            Operation::Gather { folder, prefix } => {
                for (name, place) in self.matching(folder, prefix)? {
                    if place.host.is_file() {
                        stdout.extend([name.as_bytes(), b"\0"].concat());
                        self.read(&place.path, stdout)?;
                        stdout.push(0);
                    }
                }
                Ok(())
            }
            Operation::Files { folder, most } => {
                let mut paths = Vec::new();
                find(&self.enter(folder)?.host, ".", &mut paths);
                stdout.extend(paths.into_iter().take(*most));
                Ok(())
            }
            Operation::Remove { path } => Self::remove(&self.place(path)?),
            // The script's own test of its argument.
            Operation::Sweep { prefix, .. } if prefix.is_empty() => Err((String::new(), 1)),
            Operation::Sweep { folder, prefix } => {
                for (name, place) in self.matching(folder, prefix)? {
                    Self::remove(&Place { path: name.clone(), ..place })?;
                    stdout.extend([name.as_bytes(), b"\0"].concat());
                }
                Ok(())
            }
            Operation::Usage | Operation::Resolve { .. } | Operation::Connect { .. } => Ok(()),
        }
    }

    fn place(&self, path: &str) -> Result<Place, Failure> {
        mounts::place(self.world, self.pod, self.container, path)
            .map_err(|error| (format!("operations: {path}: {}\n", words(&error)), 1))
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), Failure> {
        let place = self.place(path)?;
        let folder = place.host.parent().unwrap_or(&place.host);
        let written = if place.host.is_dir() {
            Err(ErrorKind::IsADirectory.into())
        } else if !folder.is_dir() {
            Err(io::Error::other("nonexistent directory"))
        } else if place.read_only {
            Err(ErrorKind::ReadOnlyFilesystem.into())
        } else {
            fs::write(&place.host, content)
        };
        written.map_err(|error| (format!("operations: can't create {path}: {}\n", words(&error)), 1))
    }

    fn read(&self, path: &str, stdout: &mut Vec<u8>) -> Result<(), Failure> {
        let place = self.place(path)?;
        if place.host.is_dir() {
            return Err(("cat: read error: Is a directory\n".to_owned(), 1));
        }
        let content =
            fs::read(&place.host).map_err(|error| (format!("cat: can't open '{path}': {}\n", words(&error)), 1))?;
        stdout.extend(content);
        Ok(())
    }

    /// Makes a folder and those above it.
    fn make(&self, folder: &str) -> Result<(), Failure> {
        let ends = folder.match_indices('/').map(|(index, _)| index + 1).chain([folder.len()]);
        for end in ends {
            let part = &folder[..end];
            let place = self.place(part)?;
            if place.host.is_dir() {
                continue;
            }
            let made = match (place.host.exists(), place.read_only) {
                (true, _) => Err(ErrorKind::NotADirectory.into()),
                (_, true) => Err(ErrorKind::ReadOnlyFilesystem.into()),
                // The container's own root is made when it is needed.
                _ => fs::create_dir_all(&place.host),
            };
            made.map_err(|error| (format!("mkdir: can't create directory '{part}': {}\n", words(&error)), 1))?;
        }
        Ok(())
    }

    fn enter(&self, folder: &str) -> Result<Place, Failure> {
        let place = self.place(folder)?;
        match fs::read_dir(&place.host) {
            Ok(_) => Ok(place),
            Err(error) => Err((format!("operations: cd: line 0: can't cd to {folder}: {}\n", words(&error)), 2)),
        }
    }

    /// What is in a folder and has a name that begins so, in order.
    fn matching(&self, folder: &str, prefix: &str) -> Result<Vec<(String, Place)>, Failure> {
        let folder = self.enter(folder)?;
        let entries = fs::read_dir(&folder.host).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        // A shell's `*` passes over hidden files.
        names.retain(|name| name.starts_with(prefix) && (!prefix.is_empty() || !name.starts_with('.')));
        names.sort();
        let place = |name: String| {
            let (host, path) = (folder.host.join(&name), format!("{}/{name}", folder.path.trim_end_matches('/')));
            (name, Place { host, path, read_only: folder.read_only, is_mount: false })
        };
        Ok(names.into_iter().map(place).collect())
    }

    fn remove(place: &Place) -> Result<(), Failure> {
        let path = &place.path;
        let removed = match fs::symlink_metadata(&place.host) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err((format!("rm: can't stat '{path}': {}\n", words(&error)), 1)),
            Ok(_) if place.read_only => Err(ErrorKind::ReadOnlyFilesystem.into()),
            Ok(_) if place.is_mount => {
                for entry in fs::read_dir(&place.host).into_iter().flatten().flatten() {
                    let path = format!("{path}/{}", entry.file_name().display());
                    Self::remove(&Place { host: entry.path(), path, is_mount: false, ..*place })?;
                }
                Err(ErrorKind::ResourceBusy.into())
            }
            Ok(data) if data.is_dir() => fs::remove_dir_all(&place.host),
            Ok(_) => fs::remove_file(&place.host),
        };
        removed.map_err(|error| (format!("rm: can't remove '{path}': {}\n", words(&error)), 1))
    }
}

/// The paths of the files in a folder and below, each ended by NUL.
fn find(folder: &Path, name: &str, paths: &mut Vec<u8>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let own = format!("{name}/{}", entry.file_name().display());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find(&entry.path(), &own, paths),
            Ok(kind) if kind.is_file() => paths.extend([own.as_bytes(), b"\0"].concat()),
            _ => {}
        }
    }
}

/// An error in the words of Linux.
fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "No such file or directory".to_owned(),
        ErrorKind::NotADirectory => "Not a directory".to_owned(),
        ErrorKind::IsADirectory => "Is a directory".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "Read-only file system".to_owned(),
        ErrorKind::ResourceBusy => "Device or resource busy".to_owned(),
        ErrorKind::PermissionDenied => "Permission denied".to_owned(),
        ErrorKind::InvalidInput => "Invalid argument".to_owned(),
        _ => error.to_string(),
    }
}

/// Memory, uptime and CPU time: an idle container uses a thousandth of a core.
fn usage(world: &World, pod: &Value, container: &str) -> String {
    let status = &pod["status"];
    let mut statuses = array(&status["initContainerStatuses"]).chain(array(&status["containerStatuses"]));
    let its = statuses.find(|status| status["name"] == container);
    let since = its.and_then(|status| text(&status["state"]["running"]["startedAt"]).parse::<Timestamp>().ok());
    let age = since.map_or(0, |since| world.node_now().duration_since(since).as_millis().max(0));
    let behaviour = world.scenario.behaviour(server_of(pod), container);
    let limit = containers(pod).find(|spec| spec["name"] == container).map(|spec| &spec["resources"]["limits"]["cpu"]);
    let limit = limit.and_then(|cpu| text(cpu).strip_suffix('m')?.parse::<i128>().ok()).unwrap_or(1000);
    // Never quite all: it waits for the disk, too.
    let millicores = if behaviour == Some(Behaviour::NeverRests) { limit * 98 / 100 } else { 1 };
    let memory = if container == "nfs-server" { 6_291_456 } else { 1_728_512 };
    let uptime = UPTIME * 100 + u64::try_from(world.elapsed().as_millis() / 10).unwrap_or_default();
    format!("{memory} {uptime} {}\n", age * millicores * 1000)
}

/// What busybox's nslookup says of Services' names.
fn resolve(world: &World, names: &[String]) -> String {
    let mut said = format!("! {NAME_SERVER}\n");
    for name in names {
        let full = format!("{name}.{NAMESPACE}.svc.cluster.local");
        let service = world.store.get(Kind::Service, name);
        let addresses = service.map(|service| addresses(world, &service)).unwrap_or_default();
        let lines: Vec<_> = match addresses.as_slice() {
            [] => vec![format!("** server can't find {full}.: NXDOMAIN"); 2],
            found => found.iter().map(|address| format!("Name:\t{full}\nAddress: {address}")).collect(),
        };
        let code = i32::from(addresses.is_empty());
        let server = format!("Server:\t\t{NAME_SERVER}\nAddress:\t{NAME_SERVER}:53");
        // Writing to a String cannot fail.
        let _ = writeln!(said, "? {name} {code}\n{server}\n\n{}", lines.join("\n\n"));
    }
    said
}

/// The addresses that a Service's name stands for: a headless one's are its pods'.
fn addresses(world: &World, service: &Value) -> Vec<String> {
    let own = array(&service["spec"]["clusterIPs"]).map(text).filter(|ip| *ip != "None");
    let own: Vec<_> = own.map(str::to_owned).collect();
    if !own.is_empty() {
        return own;
    }
    let pods = endpoints(world, service);
    pods.iter().flat_map(|(_, endpoint)| array(&endpoint["addresses"])).map(|ip| text(ip).to_owned()).collect()
}

/// Connects to a Service's address, or to a NodePort.
fn connect(world: &World, pod: &Value, address: &str, port: u16) -> Result<(), Failure> {
    let is_node = address == text(&pod["status"]["hostIP"]);
    let found = service_port(world, |service, own| {
        let is_its = array(&service["spec"]["clusterIPs"]).any(|ip| ip == address);
        is_its && own["port"] == port || is_node && own["nodePort"] == port
    });
    let refused = format!("nc: can't connect to remote host ({address}): Connection refused\n");
    match found {
        Some((service, own)) if target(world, &service, &own).is_some() => Ok(()),
        Some(_) => Err((refused, 1)),
        None if is_node => Err((refused, 1)),
        None => Err(("nc: timed out\n".to_owned(), 1)),
    }
}
