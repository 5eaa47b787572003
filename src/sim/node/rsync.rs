//! Copies regular files and folders as `rsync -av --no-perms` does, with the same output.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::Mutex;

use super::container::lock;
use super::mounts::{Place, linux_message};

/// The end of the output; nothing reads its figures.
const SUMMARY: [&str; 3] =
    ["", "sent 46 bytes  received 12 bytes  116.00 bytes/sec", "total size is 0  speedup is 0.00"];

/// Returns the output after its first line, and the exit code. Locks `files` while reading a file, so that it never copies half
/// of an operation's write.
pub(super) fn copy(from: &Place, to: &Place, files: &Mutex<()>) -> (Vec<String>, i32) {
    let mut copy = Copy { from, to, files, output: Vec::new(), code: 0 };
    copy.folder("");
    let Copy { mut output, code, .. } = copy;
    output.extend(SUMMARY.map(str::to_owned));
    if code != 0 {
        let why = "rsync error: some files/attrs were not transferred (see previous errors)";
        output.push(format!("{why} (code {code}) at main.c(1338) [sender=3.4.1]"));
    }
    (output, code)
}

struct Copy<'a> {
    from: &'a Place,
    to: &'a Place,
    files: &'a Mutex<()>,
    output: Vec<String>,
    code: i32,
}

impl Copy<'_> {
    /// `name` is relative; empty for the outermost folder, otherwise it ends with a slash.
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
            self.output.push(name.to_owned());
        }
        for (is_folder, file) in names {
            if is_folder { self.folder(&format!("{name}{file}/")) } else { self.file(&format!("{name}{file}")) }
        }
    }

    fn file(&mut self, name: &str) {
        let (source, target) = (self.from.host.join(name), self.to.host.join(name));
        let read = {
            let _files = lock(self.files);
            fs::metadata(&source).and_then(|data| {
                let is_same = fs::metadata(&target).is_ok_and(|existing| is_same(&data, &existing));
                Ok(if is_same { None } else { Some((data.modified()?, fs::read(&source)?)) })
            })
        };
        let (modified, content) = match read {
            Ok(None) => return,
            Ok(Some(read)) => read,
            // Removed since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.failed("[sender] send_files failed to open", self.from, name, &error),
        };
        self.output.push(name.to_owned());
        // Renamed into place, so that a concurrent reader sees either the old file or the new one.
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
        // Only the simulated EROFS has no number.
        let number = error.raw_os_error().unwrap_or(30);
        self.output.push(format!("rsync: {what} \"{path}\" failed: {} ({number})", linux_message(error)));
        self.code = 23;
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let [Ok(mtime), Ok(other_mtime)] = [one.modified(), other.modified()] else { return false };
    one.len() == other.len() && mtime == other_mtime
}

/// The entries of a folder, and whether each is a folder, in rsync's order: files before folders, each sorted by bytes.
pub(super) fn names(folder: &Path) -> io::Result<Vec<(bool, String)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // The program writes only names in Unicode.
        let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
        if kind.is_dir() || kind.is_file() {
            names.push((kind.is_dir(), name));
        }
    }
    names.sort();
    Ok(names)
}
