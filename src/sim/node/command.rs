//! The program's operations in a container, with the output of their scripts under busybox. A failed operation prints only its
//! error.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::block_in_place;

use super::container::{Container, lock};
use super::mounts::{Place, linux_message};
use super::{network, rsync};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::sim::object::{Kind, name, state, text};

/// The node's uptime when the simulation starts, in hundredths of a second.
const UPTIME: u128 = 8_640_000;

/// Standard output on success, standard error on failure.
type Output = Result<Vec<u8>, String>;

impl Container {
    pub fn run(&self, operation: &Operation) -> Output {
        if self.world.store.get(Kind::Pod, name(&self.pod)).is_none() {
            return Err("its pod is gone\n".to_owned());
        }
        match operation {
            Operation::Usage => Ok(self.usage().into()),
            Operation::Resolve { names } => Ok(network::resolve(&self.world, names).into()),
            Operation::Connect { address, port } => network::connect(&self.world, address, *port).map(|()| Vec::new()),
            _ => block_in_place(|| {
                let _files = lock(&self.world.kubelet.files);
                self.run_on_files(operation)
            }),
        }
    }

    /// Memory, uptime and CPU time, of which a container uses a thousandth of a core.
    fn usage(&self) -> String {
        let since = text(&state(&self.pod, &self.name)["running"]["startedAt"]).parse::<Timestamp>();
        let age = since.map_or(0, |since| self.world.node_now().duration_since(since).as_millis().max(0));
        let uptime = UPTIME + self.world.uptime().as_millis() / 10;
        format!("2097152 {uptime} {}\n", age * 1000)
    }

    fn run_on_files(&self, operation: &Operation) -> Output {
        match operation {
            Operation::Write { path, content } => self.write(path, content.as_bytes()),
            Operation::Fill { path, line, bytes } => self.write(path, &Operation::filling(line, *bytes)),
            Operation::Append { path, line, bytes } => {
                let mut content = fs::read(self.at(path)?.host).unwrap_or_default();
                content.extend(Operation::filling(line, *bytes));
                self.write(path, &content)
            }
            Operation::Tree { folder, line, files } => {
                for (name, content) in Operation::tree(line, *files) {
                    let path = format!("{folder}/{name}");
                    self.create_dir(path.rsplit_once('/').map_or(folder, |(folder, _)| folder))?;
                    self.write(&path, &content)?;
                    set_old_mtime(&self.at(&path)?.host).map_err(failed("touch", &path))?;
                }
                Ok(Vec::new())
            }
            Operation::Times { folder } => {
                let line = |(path, data): &(String, Metadata)| format!("{} {path}\n", mtime(data));
                Ok(self.find(folder)?.iter().map(line).collect::<String>().into())
            }
            Operation::Ages { folder, prefix } => self.for_each_match(folder, prefix, |name, path| {
                let data = fs::metadata(self.at(path)?.host).map_err(failed("stat", name))?;
                Ok(format!("{} {} {name}\0", mtime(&data), disk_usage(&data)).into())
            }),
            Operation::DiskUsage { folder } => {
                let used: u64 = self.find(folder)?.iter().map(|(_, data)| disk_usage(data)).sum();
                Ok(format!("{used}\t{folder}\n").into())
            }
            Operation::Read { path } => self.read(path),
            Operation::Digest { path } => {
                let content = fs::read(self.at(path)?.host);
                Ok(content.map_or(Vec::new(), |content| format!("{}\n", Digest::of(&content)).into()))
            }
            Operation::WriteNested { folder, name, content } => {
                self.create_dir(folder)?;
                let path = format!("{folder}/{name}");
                self.write(&path, content.as_bytes())?;
                self.read(&path)
            }
            Operation::Gather { folder, prefix } => self.for_each_match(folder, prefix, |name, path| {
                let is_file = self.at(path)?.host.is_file();
                Ok(if is_file {
                    [format!("{name}\0").as_bytes(), &self.read(path)?, b"\0"].concat()
                } else {
                    Vec::new()
                })
            }),
            Operation::Remove { path } => self.remove(path),
            Operation::Sweep { folder, prefix } if !prefix.is_empty() => {
                self.for_each_match(folder, prefix, |name, path| {
                    self.remove(path)?;
                    Ok(format!("{name}\0").into())
                })
            }
            _ => Err(String::new()),
        }
    }

    fn at(&self, path: &str) -> Result<Place, String> {
        self.place(path).map_err(failed("sh", path))
    }

    /// Creates a folder and its parents, including the container's root, which exists only once something is written.
    fn create_dir(&self, folder: &str) -> Result<(), String> {
        let place = self.at(folder)?;
        place.writable().and_then(|()| fs::create_dir_all(place.host)).map_err(failed("mkdir", folder))
    }

    fn find(&self, folder: &str) -> Result<Vec<(String, Metadata)>, String> {
        let mut files = Vec::new();
        find(&self.at(folder)?.host, ".", &mut files).map_err(failed("find", folder))?;
        Ok(files)
    }

    fn write(&self, path: &str, content: &[u8]) -> Output {
        let place = self.at(path)?;
        place.writable().and_then(|()| fs::write(place.host, content)).map_err(failed("can't create", path))?;
        Ok(Vec::new())
    }

    fn read(&self, path: &str) -> Output {
        fs::read(self.at(path)?.host).map_err(failed("cat", path))
    }

    /// The concatenated output of `run` for each match.
    fn for_each_match(&self, folder: &str, prefix: &str, run: impl Fn(&str, &str) -> Output) -> Output {
        let names = self.matching(folder, prefix)?;
        let outputs = names.iter().map(|name| run(name, &format!("{folder}/{name}")));
        outputs.collect::<Result<Vec<_>, _>>().map(|outputs| outputs.concat())
    }

    /// The entries of a folder whose names start with the prefix, sorted; as with a shell's glob, the prefix may contain `/`.
    fn matching(&self, folder: &str, prefix: &str) -> Result<Vec<String>, String> {
        fs::read_dir(self.at(folder)?.host).map_err(failed("cd", folder))?;
        let subfolder = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        let Ok(entries) = fs::read_dir(self.at(&format!("{folder}/{subfolder}"))?.host) else { return Ok(Vec::new()) };
        let name = |entry: io::Result<fs::DirEntry>| Some(format!("{subfolder}{}", entry.ok()?.file_name().to_str()?));
        let mut names: Vec<_> = entries.filter_map(name).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &str) -> Output {
        let place = self.at(path)?;
        let removed = fs::symlink_metadata(&place.host).and_then(|data| {
            place.writable()?;
            if data.is_dir() { fs::remove_dir_all(&place.host) } else { fs::remove_file(&place.host) }
        });
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("rm", path)(error)),
            _ => Ok(Vec::new()),
        }
    }
}

fn set_old_mtime(path: &Path) -> io::Result<()> {
    let time = jiff::civil::date(Operation::YEAR, 2, 3).to_zoned(TimeZone::UTC).map_err(io::Error::other)?;
    let time = SystemTime::from(time.timestamp());
    fs::OpenOptions::new().write(true).open(path)?.set_modified(time)
}

/// The files in a folder and its subfolders, with their relative paths.
fn find(folder: &Path, name: &str, files: &mut Vec<(String, Metadata)>) -> io::Result<()> {
    for (is_folder, entry) in rsync::names(folder)? {
        let (path, name) = (folder.join(&entry), format!("{name}/{entry}"));
        // Either may have been removed since it was listed.
        if is_folder {
            let _ = find(&path, &name, files);
        } else if let Ok(data) = fs::metadata(path) {
            files.push((name, data));
        }
    }
    Ok(())
}

/// Seconds since 1970.
fn mtime(data: &Metadata) -> i64 {
    let time = data.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    time.unwrap_or_default().as_second()
}

/// KiB, in blocks of 4.
fn disk_usage(data: &Metadata) -> u64 {
    data.len().div_ceil(4096) * 4
}

fn failed(tool: &str, path: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("operations: {tool} {path}: {}\n", linux_message(&error))
}
