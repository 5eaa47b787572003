//! Copying as `rsync -av --no-perms` does, with its words. Of regular files and folders only, whose times stay theirs.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Mutex;

use super::container::lock;
use super::mounts::{Place, words};

/// What is said at the end; its figures are nobody's business.
const SUMMARY: [&str; 3] =
    ["", "sent 46 bytes  received 12 bytes  116.00 bytes/sec", "total size is 0  speedup is 0.00"];

/// Copies what differs in a folder; what it said after its first line, and its exit code. The lock is held while a file is
/// read: an operation's write is never seen half done.
pub(super) fn copy(from: &Place, to: &Place, files: &Mutex<()>) -> (Vec<String>, i32) {
    let mut copy = Copy { from, to, files, said: Vec::new(), code: 0 };
    copy.folder("");
    let Copy { mut said, code, .. } = copy;
    said.extend(SUMMARY.map(str::to_owned));
    if code != 0 {
        let why = "rsync error: some files/attrs were not transferred (see previous errors)";
        said.push(format!("{why} (code {code}) at main.c(1338) [sender=3.4.1]"));
    }
    (said, code)
}

struct Copy<'a> {
    from: &'a Place,
    to: &'a Place,
    files: &'a Mutex<()>,
    said: Vec<String>,
    code: i32,
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
            self.said.push(name.to_owned());
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
                let is_new = !there.is_ok_and(|there| is_same(&data, &there));
                Ok(if is_new { Some((data.modified()?, fs::read(&source)?)) } else { None })
            })
        };
        let (modified, content) = match read {
            Ok(None) => return,
            Ok(Some(read)) => read,
            // Somebody has removed it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.failed("[sender] send_files failed to open", self.from, name, &error),
        };
        self.said.push(name.to_owned());
        // Into its place with a rename, also while somebody reads the one that is there.
        let replaced = self.to.writable().and_then(|()| {
            let stem = target.file_name().unwrap_or_default().to_string_lossy();
            let folder = target.parent().ok_or(ErrorKind::NotFound)?;
            let mut file = tempfile::Builder::new().prefix(&format!(".{stem}.")).tempfile_in(folder)?;
            file.write_all(&content)?;
            file.as_file().set_modified(modified)?;
            fs::rename(file.into_temp_path(), &target)
        });
        if let Err(error) = replaced {
            self.failed("[receiver] mkstemp", self.to, name, &error);
        }
    }

    fn failed(&mut self, what: &str, place: &Place, name: &str, error: &io::Error) {
        let path = format!("{}/{}", place.path, name.trim_end_matches('/'));
        // EROFS is the one that we make ourselves.
        let number = error.raw_os_error().unwrap_or(30);
        self.said.push(format!("rsync: {what} \"{path}\" failed: {} ({number})", words(error)));
        self.code = 23;
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let [Ok(own), Ok(its)] = [one.modified(), other.modified()] else { return false };
    one.len() == other.len() && own == its
}

/// What is in a folder, in rsync's order: files before folders, each in the order of their bytes.
pub(super) fn names(folder: &Path) -> io::Result<Vec<(bool, String)>> {
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
