//! What the harness does with files in a container: its operations, as their scripts would do it with busybox.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::mounts::{self, Place};
use crate::cluster::Operation;
use crate::digest::Digest;
use crate::sim::World;

pub(super) struct Shell<'a> {
    pub world: &'a World,
    pub pod: &'a Value,
    pub container: &'a str,
    pub stdout: Vec<u8>,
}

impl Shell<'_> {
    /// Does an operation; an error is what it says on standard error.
    pub fn run(&mut self, operation: &Operation) -> Result<(), String> {
        match operation {
            Operation::Write { path, content } => self.write(path, content.as_bytes()),
            Operation::Fill { path, line, bytes } => self.write(path, &Operation::filling(line, *bytes)),
            Operation::Append { path, line, bytes } => {
                let mut content = fs::read(self.place(path)?.host).unwrap_or_default();
                content.extend(Operation::filling(line, *bytes));
                self.write(path, &content)
            }
            Operation::Tree { folder, line, files } => {
                for (name, content) in Operation::tree(line, *files) {
                    let path = format!("{folder}/{name}");
                    self.make(path.rsplit_once('/').map_or(folder, |(folder, _)| folder))?;
                    self.write(&path, &content)?;
                    age(&self.place(&path)?.host).map_err(said("touch", &path))?;
                }
                Ok(())
            }
            Operation::Times { folder } => {
                for (path, data) in self.found(folder)? {
                    self.stdout.extend(format!("{} {path}\n", changed(&data)).bytes());
                }
                Ok(())
            }
            Operation::Ages { folder, prefix } => {
                for name in self.matching(folder, prefix)? {
                    let path = format!("{folder}/{name}");
                    let data = fs::metadata(self.place(&path)?.host).map_err(said("stat", &name))?;
                    self.stdout.extend(format!("{} {} {name}\0", changed(&data), used(&data)).bytes());
                }
                Ok(())
            }
            Operation::DiskUsage { folder } => {
                let used: u64 = self.found(folder)?.iter().map(|(_, data)| used(data)).sum();
                self.stdout.extend(format!("{used}\t{folder}\n").bytes());
                Ok(())
            }
            Operation::Read { path } => self.read(path),
            Operation::Digest { path } => {
                if let Ok(content) = fs::read(self.place(path)?.host) {
                    self.stdout.extend(format!("{}\n", Digest::of(&content)).bytes());
                }
                Ok(())
            }
            Operation::WriteNested { folder, name, content } => {
                self.make(folder)?;
                let path = format!("{folder}/{name}");
                self.write(&path, content.as_bytes())?;
                self.read(&path)
            }
            Operation::Gather { folder, prefix } => {
                for name in self.matching(folder, prefix)? {
                    let path = format!("{folder}/{name}");
                    if self.place(&path)?.host.is_file() {
                        self.stdout.extend(format!("{name}\0").bytes());
                        self.read(&path)?;
                        self.stdout.push(0);
                    }
                }
                Ok(())
            }
            Operation::Remove { path } => self.remove(path),
            Operation::Sweep { folder, prefix } if !prefix.is_empty() => {
                for name in self.matching(folder, prefix)? {
                    self.remove(&format!("{folder}/{name}"))?;
                    self.stdout.extend(format!("{name}\0").bytes());
                }
                Ok(())
            }
            _ => Err(String::new()),
        }
    }

    fn place(&self, path: &str) -> Result<Place, String> {
        mounts::place(self.world, self.pod, self.container, path).map_err(said("sh", path))
    }

    /// Makes a folder and those above it; the container's own root is made when it is needed.
    fn make(&self, folder: &str) -> Result<(), String> {
        let place = self.place(folder)?;
        place.writable().and_then(|()| fs::create_dir_all(place.host)).map_err(said("mkdir", folder))
    }

    /// The files in a folder and below, with what is known of them.
    fn found(&self, folder: &str) -> Result<Vec<(String, Metadata)>, String> {
        let mut files = Vec::new();
        find(&self.place(folder)?.host, ".", &mut files).map_err(said("find", folder))?;
        Ok(files)
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), String> {
        let place = self.place(path)?;
        place.writable().and_then(|()| fs::write(place.host, content)).map_err(said("can't create", path))
    }

    fn read(&mut self, path: &str) -> Result<(), String> {
        self.stdout.extend(fs::read(self.place(path)?.host).map_err(said("cat", path))?);
        Ok(())
    }

    /// The names of what is in a folder that begin so, in order; as in a shell, a beginning may lead into a folder there.
    fn matching(&self, folder: &str, prefix: &str) -> Result<Vec<String>, String> {
        let host = self.place(folder)?.host;
        let mut entries = fs::read_dir(&host).map_err(said("cd", folder))?;
        let own = prefix.rfind('/').map_or("", |end| &prefix[..=end]);
        if !own.is_empty() {
            let Ok(inner) = fs::read_dir(self.place(&format!("{folder}/{own}"))?.host) else { return Ok(Vec::new()) };
            entries = inner;
        }
        let name = |entry: io::Result<fs::DirEntry>| Some(format!("{own}{}", entry.ok()?.file_name().to_str()?));
        let mut names: Vec<_> = entries.filter_map(name).collect();
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        Ok(names)
    }

    fn remove(&self, path: &str) -> Result<(), String> {
        let place = self.place(path)?;
        let removed = match fs::symlink_metadata(&place.host) {
            Err(error) => Err(error),
            Ok(data) => place.writable().and_then(|()| {
                if data.is_dir() { fs::remove_dir_all(&place.host) } else { fs::remove_file(&place.host) }
            }),
        };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(said("rm", path)(error)),
            _ => Ok(()),
        }
    }
}

/// Makes a file one of the year of old files.
fn age(path: &Path) -> io::Result<()> {
    let time = jiff::civil::date(Operation::YEAR, 2, 3).to_zoned(TimeZone::UTC).map_err(io::Error::other)?;
    let time = SystemTime::from(time.timestamp());
    fs::OpenOptions::new().write(true).open(path)?.set_modified(time)
}

/// The files in a folder and below, with their paths.
fn find(folder: &Path, name: &str, files: &mut Vec<(String, Metadata)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let own = format!("{name}/{}", entry.file_name().display());
        match entry.metadata() {
            // One that is gone by now has no files.
            Ok(data) if data.is_dir() => drop(find(&entry.path(), &own, files)),
            Ok(data) if data.is_file() => files.push((own, data)),
            _ => {}
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

fn said(tool: &str, path: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("operations: {tool} {path}: {}\n", words(&error))
}

/// An error in the words of Linux.
pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "No such file or directory".to_owned(),
        ErrorKind::IsADirectory => "Is a directory".to_owned(),
        ErrorKind::ReadOnlyFilesystem => "Read-only file system".to_owned(),
        ErrorKind::StorageFull => "No space left on device".to_owned(),
        _ => error.to_string(),
    }
}
