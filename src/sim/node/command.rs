//! What the harness does in a container: its operations, as their scripts would do it with busybox, but that one that fails
//! says nothing else.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::task::block_in_place;

use super::container::{Container, lock};
use super::mounts::{Place, words};
use super::{network, rsync};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::sim::object::{Kind, name, state, text};

/// The node's uptime when the cluster was started, in hundredths of a second.
const UPTIME: u128 = 8_640_000;

/// What is said on standard output, or on standard error by what fails.
type Said = Result<Vec<u8>, String>;

impl Container {
    pub fn run(&self, operation: &Operation) -> Said {
        if self.world.store.get(Kind::Pod, name(&self.pod)).is_none() {
            return Err("its pod is gone\n".to_owned());
        }
        match operation {
            Operation::Usage => Ok(self.usage().into()),
            Operation::Resolve { names } => Ok(network::resolve(&self.world, names).into()),
            Operation::Connect { address, port } => network::connect(&self.world, address, *port).map(|()| Vec::new()),
            _ => block_in_place(|| {
                let _whole = lock(&self.world.kubelet.files);
                self.run_on_files(operation)
            }),
        }
    }

    /// Memory, uptime and CPU time: an idle container uses a thousandth of a core.
    fn usage(&self) -> String {
        let since = text(&state(&self.pod, &self.name)["running"]["startedAt"]).parse::<Timestamp>();
        let age = since.map_or(0, |since| self.world.node_now().duration_since(since).as_millis().max(0));
        let uptime = UPTIME + self.world.elapsed().as_millis() / 10;
        format!("2097152 {uptime} {}\n", age * 1000)
    }

    fn run_on_files(&self, operation: &Operation) -> Said {
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
                    self.make(path.rsplit_once('/').map_or(folder, |(folder, _)| folder))?;
                    self.write(&path, &content)?;
                    age(&self.at(&path)?.host).map_err(failed("touch", &path))?;
                }
                Ok(Vec::new())
            }
            Operation::Times { folder } => {
                let line = |(path, data): &(String, Metadata)| format!("{} {path}\n", changed(data));
                Ok(self.found(folder)?.iter().map(line).collect::<String>().into())
            }
            Operation::Ages { folder, prefix } => self.each(folder, prefix, |name, path| {
                let data = fs::metadata(self.at(path)?.host).map_err(failed("stat", name))?;
                Ok(format!("{} {} {name}\0", changed(&data), used(&data)).into())
            }),
            Operation::DiskUsage { folder } => {
                let used: u64 = self.found(folder)?.iter().map(|(_, data)| used(data)).sum();
                Ok(format!("{used}\t{folder}\n").into())
            }
            Operation::Read { path } => self.read(path),
            Operation::Digest { path } => {
                let content = fs::read(self.at(path)?.host);
                Ok(content.map_or(Vec::new(), |content| format!("{}\n", Digest::of(&content)).into()))
            }
            Operation::WriteNested { folder, name, content } => {
                self.make(folder)?;
                let path = format!("{folder}/{name}");
                self.write(&path, content.as_bytes())?;
                self.read(&path)
            }
            Operation::Gather { folder, prefix } => self.each(folder, prefix, |name, path| {
                let is_file = self.at(path)?.host.is_file();
                Ok(if is_file {
                    [format!("{name}\0").as_bytes(), &self.read(path)?, b"\0"].concat()
                } else {
                    Vec::new()
                })
            }),
            Operation::Remove { path } => self.remove(path),
            Operation::Sweep { folder, prefix } if !prefix.is_empty() => self.each(folder, prefix, |name, path| {
                self.remove(path)?;
                Ok(format!("{name}\0").into())
            }),
            _ => Err(String::new()),
        }
    }

    fn at(&self, path: &str) -> Result<Place, String> {
        self.place(path).map_err(failed("sh", path))
    }

    /// Makes a folder and those above it; the container's own root is made when it is needed.
    fn make(&self, folder: &str) -> Result<(), String> {
        let place = self.at(folder)?;
        place.writable().and_then(|()| fs::create_dir_all(place.host)).map_err(failed("mkdir", folder))
    }

    fn found(&self, folder: &str) -> Result<Vec<(String, Metadata)>, String> {
        let mut files = Vec::new();
        find(&self.at(folder)?.host, ".", &mut files).map_err(failed("find", folder))?;
        Ok(files)
    }

    fn write(&self, path: &str, content: &[u8]) -> Said {
        let place = self.at(path)?;
        place.writable().and_then(|()| fs::write(place.host, content)).map_err(failed("can't create", path))?;
        Ok(Vec::new())
    }

    fn read(&self, path: &str) -> Said {
        fs::read(self.at(path)?.host).map_err(failed("cat", path))
    }

    /// What is said of each that is in a folder and begins so.
    fn each(&self, folder: &str, prefix: &str, say: impl Fn(&str, &str) -> Said) -> Said {
        let names = self.matching(folder, prefix)?;
        let said = names.iter().map(|name| say(name, &format!("{folder}/{name}")));
        said.collect::<Result<Vec<_>, _>>().map(|said| said.concat())
    }

    /// The names of what is in a folder that begin so, in order; as in a shell, a beginning may lead into a folder there.
    fn matching(&self, folder: &str, prefix: &str) -> Result<Vec<String>, String> {
        fs::read_dir(self.at(folder)?.host).map_err(failed("cd", folder))?;
        let own = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        let Ok(entries) = fs::read_dir(self.at(&format!("{folder}/{own}"))?.host) else { return Ok(Vec::new()) };
        let name = |entry: io::Result<fs::DirEntry>| Some(format!("{own}{}", entry.ok()?.file_name().to_str()?));
        let mut names: Vec<_> = entries.filter_map(name).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &str) -> Said {
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

fn age(path: &Path) -> io::Result<()> {
    let time = jiff::civil::date(Operation::YEAR, 2, 3).to_zoned(TimeZone::UTC).map_err(io::Error::other)?;
    let time = SystemTime::from(time.timestamp());
    fs::OpenOptions::new().write(true).open(path)?.set_modified(time)
}

/// The files in a folder and below, with their paths.
fn find(folder: &Path, name: &str, files: &mut Vec<(String, Metadata)>) -> io::Result<()> {
    for (is_folder, own) in rsync::names(folder)? {
        let (path, own) = (folder.join(&own), format!("{name}/{own}"));
        // One that is gone by now has no files.
        if is_folder {
            let _ = find(&path, &own, files);
        } else if let Ok(data) = fs::metadata(path) {
            files.push((own, data));
        }
    }
    Ok(())
}

/// When a file was changed, in seconds since 1970.
fn changed(data: &Metadata) -> i64 {
    let time = data.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    time.unwrap_or_default().as_second()
}

/// How much disk a file uses, in KiB.
fn used(data: &Metadata) -> u64 {
    data.len().div_ceil(4096) * 4
}

fn failed(tool: &str, path: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("operations: {tool} {path}: {}\n", words(&error))
}
