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
const SUMMARY: [&str; 3] =
    ["", "sent 46 bytes  received 12 bytes  116.00 bytes/sec", "total size is 0  speedup is 0.00"];

#[derive(Debug, Default)]
pub(super) struct Copied {
    /// What it said after its first line.
    pub said: Vec<String>,
    pub code: i32,
    /// The files that were copied, relative to the folders.
    pub files: Vec<String>,
}

/// Copies a folder's content, all of it or what differs. The lock is held while a file is read: an operation's write is never seen half done.
pub(super) fn copy(from: &Place, to: &Place, all: bool, files: &Mutex<()>) -> Copied {
    let mut copy = Copy { from, to, all, files, copied: Copied::default() };
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
    all: bool,
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
                let is_new = self.all || !there.is_ok_and(|there| is_same(&data, &there));
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

    /// Something failed; of what a client has removed meanwhile only that is said.
    fn failed(&mut self, what: &str, place: &Place, name: &str, error: &io::Error) {
        let path = format!("{}/{}", place.path, name.trim_end_matches('/'));
        if error.kind() == ErrorKind::NotFound && what.starts_with("[sender]") && !name.is_empty() {
            self.copied.said.push(format!("file has vanished: \"{path}\""));
            self.copied.code = self.copied.code.max(24 - self.copied.code);
        } else {
            // EROFS is the one that we make ourselves.
            let number = error.raw_os_error().unwrap_or(30);
            self.copied.said.push(format!("rsync: {what} \"{path}\" failed: {} ({number})", words(error)));
            self.copied.code = 23;
        }
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let [Ok(own), Ok(its)] = [one.modified(), other.modified()] else { return false };
    one.len() == other.len() && own == its
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
