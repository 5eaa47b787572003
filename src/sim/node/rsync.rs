//! Copying as `rsync -av --no-perms` does, with its words. Of regular files and folders only, whose times stay theirs.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::files::words;
use super::lock;
use super::mounts::Place;

/// What is said at the end; its figures are nobody's business.
pub(super) const SUMMARY: [&str; 3] =
    ["", "sent 46 bytes  received 12 bytes  116.00 bytes/sec", "total size is 0  speedup is 0.00"];

/// Options of rsync's.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is there or not, as on a command line")]
pub(super) struct Flags {
    /// `--delete`
    pub delete: bool,
    /// `--update`
    pub update: bool,
    /// `--ignore-times`
    pub again: bool,
    /// `--ignore-existing`
    pub keep: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// What it said after its first line.
    pub said: Vec<String>,
    /// Its exit code.
    pub code: i32,
    /// The files that were copied, relative to the folders.
    pub files: Vec<String>,
}

/// Copies a folder's content. The lock is held while a file is read: an operation's write is never seen half done.
pub(super) fn copy(from: &Place, to: &Place, flags: Flags, files: &Mutex<()>) -> Copied {
    let mut copy = Copy { from, to, flags, files, copied: Copied::default() };
    copy.folder("");
    let mut copied = copy.copied;
    copied.said.extend(SUMMARY.map(str::to_owned));
    let why = match copied.code {
        0 => return copied,
        24 => "rsync warning: some files vanished before they could be transferred",
        _ => "rsync error: some files/attrs were not transferred (see previous errors)",
    };
    copied.said.push(format!("{why} (code {}) at main.c(1338) [sender=3.4.1]", copied.code));
    copied
}

struct Copy<'a> {
    from: &'a Place,
    to: &'a Place,
    flags: Flags,
    files: &'a Mutex<()>,
    copied: Copied,
}

/// How long a file that somebody reads is tried to be replaced, where that is not possible.
const READ: Duration = Duration::from_secs(1);

/// Moves a file into its place; on Windows not while somebody reads the one that is there.
fn persist(mut file: NamedTempFile, target: &Path) -> io::Result<File> {
    let limit = Instant::now() + READ;
    loop {
        match file.persist(target) {
            Err(held)
                if cfg!(windows) && held.error.kind() == ErrorKind::PermissionDenied && Instant::now() < limit =>
            {
                file = held.file;
                std::thread::sleep(READ / 100);
            }
            persisted => return Ok(persisted?),
        }
    }
}

impl Copy<'_> {
    /// Copies what is in a folder; its name is relative and ends with a slash, unless it is the outermost.
    fn folder(&mut self, name: &str) {
        let (source, target) = (self.from.host.join(name), self.to.host.join(name));
        let names = match names(&source) {
            Ok(names) => names,
            Err(error) => return self.failed("[sender] change_dir", self.from, name, &error),
        };
        if self.flags.delete {
            for extra in self::names(&target).unwrap_or_default() {
                if !names.contains(&extra) {
                    self.delete(&format!("{name}{}", extra.1), extra.0);
                }
            }
        }
        if !target.is_dir() {
            if let Err(error) = self.to.writable().and_then(|()| fs::create_dir(&target)) {
                return self.failed("[generator] recv_generator: mkdir", self.to, name, &error);
            }
            self.copied.said.push(name.to_owned());
        }
        for (is_folder, file) in names {
            if is_folder { self.folder(&format!("{name}{file}/")) } else { self.file(&format!("{name}{file}")) }
        }
    }

    fn file(&mut self, name: &str) {
        let (source, target) = (self.from.host.join(name), self.to.host.join(name));
        let read = {
            let _whole = lock(self.files);
            fs::metadata(&source).and_then(|data| {
                let there = fs::metadata(&target);
                let is_new = self.flags.again || !there.is_ok_and(|there| self.is_same(&data, &there));
                Ok(if is_new { Some((data.modified()?, fs::read(&source)?)) } else { None })
            })
        };
        let (modified, content) = match read {
            Ok(None) => return,
            Ok(Some(read)) => read,
            Err(error) => return self.failed("[sender] send_files failed to open", self.from, name, &error),
        };
        self.copied.said.push(name.to_owned());
        // Into its place with a rename.
        let replaced = self.to.writable().and_then(|()| {
            let stem = target.file_name().unwrap_or_default().to_string_lossy();
            let folder = target.parent().ok_or(ErrorKind::NotFound)?;
            let mut file = tempfile::Builder::new().prefix(&format!(".{stem}.")).tempfile_in(folder)?;
            file.write_all(&content)?;
            file.as_file().set_modified(modified)?;
            persist(file, &target)
        });
        match replaced {
            Ok(_) => self.copied.files.push(name.to_owned()),
            Err(error) => self.failed("[receiver] mkstemp", self.to, name, &error),
        }
    }

    fn is_same(&self, source: &Metadata, there: &Metadata) -> bool {
        let [Ok(own), Ok(its)] = [source.modified(), there.modified()] else { return false };
        source.len() == there.len() && own == its || self.flags.update && its > own || self.flags.keep
    }

    fn delete(&mut self, name: &str, is_folder: bool) {
        let target = self.to.host.join(name);
        let deleted = self.to.writable();
        let deleted =
            deleted.and_then(|()| if is_folder { fs::remove_dir_all(&target) } else { fs::remove_file(&target) });
        match deleted {
            Ok(()) => self.copied.said.push(format!("deleting {name}{}", if is_folder { "/" } else { "" })),
            Err(error) => self.failed("[generator] delete_file", self.to, name, &error),
        }
    }

    /// Something failed; of what a client has removed meanwhile only that is said.
    fn failed(&mut self, what: &str, place: &Place, name: &str, error: &io::Error) {
        let path = format!("{}/{}", place.path, name.trim_end_matches('/'));
        if error.kind() == ErrorKind::NotFound && what.starts_with("[sender]") && !name.is_empty() {
            self.copied.said.push(format!("file has vanished: \"{path}\""));
            self.copied.code = self.copied.code.max(24 - self.copied.code);
        } else {
            let number = match error.kind() {
                ErrorKind::NotFound => 2,
                ErrorKind::StorageFull => 28,
                ErrorKind::ReadOnlyFilesystem => 30,
                _ => error.raw_os_error().unwrap_or(5),
            };
            self.copied.said.push(format!("rsync: {what} \"{path}\" failed: {} ({number})", words(error)));
            self.copied.code = 23;
        }
    }
}

/// What is in a folder, in rsync's order: files before folders, each in the order of their bytes.
fn names(folder: &Path) -> io::Result<Vec<(bool, String)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A name that is no Unicode is none of the harness's.
        let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
        if kind.is_dir() || kind.is_file() {
            names.push((kind.is_dir(), name));
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn place(folder: &Path, name: &str) -> Place {
        let host = folder.join(name);
        fs::create_dir_all(&host).unwrap();
        Place { host, path: format!("/{name}"), read_only: false }
    }

    /// What is said before the blank line, and the exit code.
    fn listed(from: &Place, to: &Place, flags: Flags) -> (Vec<String>, i32) {
        let copied = copy(from, to, flags, &Mutex::default());
        (copied.said.into_iter().take_while(|line| !line.is_empty()).collect(), copied.code)
    }

    #[test]
    fn what_is_new_or_changed_is_copied_once_and_listed_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| place(folder.path(), name));
        fs::create_dir_all(from.host.join("sub/deep")).unwrap();
        for name in ["b", "a", "Z", "sub/f", "sub/deep/g"] {
            fs::write(from.host.join(name), name).unwrap();
        }
        let (names, code) = listed(&from, &to, Flags::default());
        assert_eq!((names.join(" "), code), ("Z a b sub/ sub/f sub/deep/ sub/deep/g".to_owned(), 0));
        assert_eq!(listed(&from, &to, Flags::default()), (Vec::new(), 0));
        // As long as before, but newer; and older, but of another length.
        let later = SystemTime::now() + Duration::from_secs(9);
        File::create(from.host.join("a")).and_then(|file| file.set_modified(later)).unwrap();
        fs::write(to.host.join("b"), "longer").unwrap();
        assert_eq!(listed(&from, &to, Flags { update: true, ..Flags::default() }).0, ["a"], "the other one is newer");
        assert!(listed(&from, &to, Flags { keep: true, ..Flags::default() }).0.is_empty());
        assert_eq!(listed(&from, &to, Flags::default()).0, ["b"]);
        assert_eq!(fs::read(to.host.join("b")).unwrap(), b"b");
        assert_eq!(listed(&from, &to, Flags { again: true, ..Flags::default() }).0.len(), 5);
        fs::remove_dir_all(from.host.join("sub")).unwrap();
        fs::remove_file(from.host.join("Z")).unwrap();
        assert!(listed(&from, &to, Flags::default()).0.is_empty() && to.host.join("Z").exists());
        assert_eq!(listed(&from, &to, Flags { delete: true, ..Flags::default() }).0, ["deleting Z", "deleting sub/"]);
    }
}
