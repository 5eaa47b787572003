//! Copying as `rsync -av --no-perms` does, with its words. Of regular files and folders only.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::mounts::Place;

/// What is said of a file system that is read-only.
const READ_ONLY: &str = "Read-only file system (30)";

/// Options of rsync's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// `--delete`
    pub delete: bool,
    /// `--update`
    pub update: bool,
    /// `--ignore-times`
    pub again: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Copied {
    /// What it said after its first line.
    pub said: Vec<String>,
    /// Its exit code.
    pub code: i32,
    /// The files that were copied, relative to the folders.
    pub files: Vec<String>,
    sent: u64,
    received: u64,
    total: u64,
}

/// Copies a folder's content. The lock is held while a file is read: an operation's write is never seen half done.
pub fn copy(from: &Place, to: &Place, flags: Flags, lock: &Mutex<()>) -> Copied {
    let mut copied = Copied { sent: 46, received: 12, ..Copied::default() };
    if let Err(error) = fs::read_dir(&from.host) {
        let folder = from.path.trim_end_matches('/');
        copied.fail(format!("rsync: [sender] change_dir \"{folder}\" failed: {}", errno(&error)));
    } else {
        Copy { from, to, flags, lock, copied: &mut copied }.folder("");
    }
    copied.end();
    copied
}

impl Copied {
    /// What a copy of nothing says.
    pub fn idle() -> Self {
        let mut copied = Self { sent: 46, received: 12, ..Self::default() };
        copied.end();
        copied
    }

    fn fail(&mut self, line: String) {
        self.said.push(line);
        self.code = 23;
    }

    fn end(&mut self) {
        let bytes = self.sent + self.received;
        let (sent, received, total) = (grouped(self.sent), grouped(self.received), grouped(self.total));
        let rate = grouped(2 * bytes);
        // In whole numbers: hundredths.
        let speedup = 100 * self.total / bytes;
        self.said.push(String::new());
        self.said.push(format!("sent {sent} bytes  received {received} bytes  {rate}.00 bytes/sec"));
        self.said.push(format!("total size is {total}  speedup is {}.{:02}", grouped(speedup / 100), speedup % 100));
        let why = match self.code {
            0 => return,
            24 => "rsync warning: some files vanished before they could be transferred",
            _ => "rsync error: some files/attrs were not transferred (see previous errors)",
        };
        self.said.push(format!("{why} (code {}) at main.c(1338) [sender=3.4.1]", self.code));
    }
}

struct Copy<'a> {
    from: &'a Place,
    to: &'a Place,
    flags: Flags,
    lock: &'a Mutex<()>,
    copied: &'a mut Copied,
}

impl Copy<'_> {
    /// Copies what is in a folder; its name is relative and ends with a slash, unless it is the outermost.
    fn folder(&mut self, name: &str) {
        let (source, target) = (self.from.host.join(name), self.to.host.join(name));
        let (Ok(files), Ok(modified)) = (names(&source), modified(&source)) else { return self.vanished(name) };
        let listed = if name.is_empty() { "./" } else { name };
        if self.flags.delete {
            for extra in names(&target).unwrap_or_default().into_iter().rev() {
                if !files.iter().any(|(_, file)| *file == extra.1) {
                    self.delete(&format!("{name}{}", extra.1), extra.0);
                }
            }
        }
        if !target.is_dir() {
            let made =
                if self.to.read_only { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { fs::create_dir(&target) };
            if let Err(error) = made {
                let path = format!("{}{}", slashed(&self.to.path), name.trim_end_matches('/'));
                let why = errno(&error);
                self.copied.fail(format!("rsync: [generator] recv_generator: mkdir \"{path}\" failed: {why}"));
                self.copied.said.push("*** Skipping any contents from this failed directory ***".to_owned());
                return;
            }
            self.copied.said.push(listed.to_owned());
        } else if !self.to.read_only && self::modified(&target).ok() != Some(modified) {
            self.copied.said.push(listed.to_owned());
        }
        self.copied.sent += 20 + name.len() as u64;
        self.copied.received += 3;
        for (is_folder, file) in files {
            let file = format!("{name}{file}");
            if is_folder { self.folder(&format!("{file}/")) } else { self.file(&file) }
        }
        if !self.to.read_only && self::modified(&target).ok() != Some(modified) {
            // Without it the folder is listed again, nothing worse.
            let _ = set_modified(&target, modified);
        }
    }

    fn file(&mut self, name: &str) {
        let (source, target) = (self.from.host.join(name), self.to.host.join(name));
        let Ok((size, modified)) = fs::metadata(&source).and_then(|data| Ok((data.len(), data.modified()?))) else {
            return self.vanished(name);
        };
        self.copied.sent += 20 + name.len() as u64;
        self.copied.total += size;
        let is_same = |there: Metadata| {
            let its = there.modified().ok();
            there.len() == size && its == Some(modified) || self.flags.update && its.is_some_and(|its| its > modified)
        };
        if !self.flags.again && fs::metadata(&target).is_ok_and(is_same) {
            return;
        }
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // Anew: a write may just have ended.
        let read = self::modified(&source).and_then(|modified| Ok((modified, fs::read(&source)?)));
        drop(lock);
        let (modified, content) = match read {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.vanished(name),
            Err(error) => {
                let path = format!("{}{name}", slashed(&self.from.path));
                let why = errno(&error);
                return self.copied.fail(format!("rsync: [sender] send_files failed to open \"{path}\": {why}"));
            }
        };
        self.copied.said.push(name.to_owned());
        self.copied.sent += content.len() as u64;
        self.copied.received += 19;
        let written = if self.to.read_only {
            Err(ErrorKind::ReadOnlyFilesystem.into())
        } else {
            replace(&target, &content, modified)
        };
        match written {
            Ok(()) => self.copied.files.push(name.to_owned()),
            Err(error) => {
                let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
                let folder = format!("{}{folder}", slashed(&self.to.path));
                let path = format!("{}.{file}.{}", slashed(&folder), suffix());
                self.copied.fail(format!("rsync: [receiver] mkstemp \"{path}\" failed: {}", errno(&error)));
            }
        }
    }

    fn delete(&mut self, name: &str, is_folder: bool) {
        let target = self.to.host.join(name);
        if is_folder {
            for (is_folder, inner) in names(&target).unwrap_or_default().into_iter().rev() {
                self.delete(&format!("{name}/{inner}"), is_folder);
            }
        }
        let (call, slash) = if is_folder { ("rmdir", "/") } else { ("unlink", "") };
        let deleted = match (self.to.read_only, is_folder) {
            (true, _) => Err(ErrorKind::ReadOnlyFilesystem.into()),
            (_, true) => fs::remove_dir(&target),
            (_, false) => fs::remove_file(&target),
        };
        match deleted {
            Ok(()) => self.copied.said.push(format!("deleting {name}{slash}")),
            Err(error) => {
                self.copied.fail(format!("rsync: [generator] delete_file: {call}({name}) failed: {}", errno(&error)));
            }
        }
    }

    fn vanished(&mut self, name: &str) {
        let path = format!("{}{}", slashed(&self.from.path), name.trim_end_matches('/'));
        self.copied.said.push(format!("file has vanished: \"{path}\""));
        if self.copied.code == 0 {
            self.copied.code = 24;
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

/// Puts a file into its place with a rename.
fn replace(target: &Path, content: &[u8], modified: SystemTime) -> io::Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let folder = target.parent().ok_or(ErrorKind::NotFound)?;
    let mut file = tempfile::Builder::new().prefix(&format!(".{name}.")).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().set_modified(modified)?;
    file.persist(target)?;
    Ok(())
}

fn modified(path: &Path) -> io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// Sets the time of a file or a folder.
pub fn set_modified(path: &Path, time: SystemTime) -> io::Result<()> {
    let mut options = OpenOptions::new();
    #[cfg(not(windows))]
    options.read(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt;
        // FILE_WRITE_ATTRIBUTES, and FILE_FLAG_BACKUP_SEMANTICS, without which no folder can be opened.
        options.access_mode(0x100).custom_flags(0x0200_0000);
    }
    options.open(path)?.set_modified(time)
}

fn slashed(folder: &str) -> String {
    format!("{}/", folder.trim_end_matches('/'))
}

/// Six letters, as mkstemp makes them up.
fn suffix() -> String {
    use rand::Rng;
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(6).map(char::from).collect()
}

/// An error in the words of Linux, with its number where rsync would say it of a folder or file.
fn errno(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem => READ_ONLY.to_owned(),
        ErrorKind::NotFound => "No such file or directory (2)".to_owned(),
        ErrorKind::NotADirectory => "Not a directory (20)".to_owned(),
        ErrorKind::PermissionDenied => "Permission denied (13)".to_owned(),
        _ => error.to_string(),
    }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn place(folder: &Path, path: &str, read_only: bool) -> Place {
        let host = folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(&host).unwrap();
        Place { host, path: path.to_owned(), read_only, is_mount: true }
    }

    /// What is said before the blank line, and the exit code.
    fn listed(from: &Place, to: &Place, flags: Flags) -> (Vec<String>, i32) {
        let copied = copy(from, to, flags, &Mutex::default());
        (copied.said.iter().take_while(|line| !line.is_empty()).cloned().collect(), copied.code)
    }

    #[test]
    fn what_is_new_or_changed_is_copied_once_and_listed_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["/nfs-data", "/windows-mount"].map(|path| place(folder.path(), path, false));
        fs::create_dir_all(from.host.join("sub/deep")).unwrap();
        for name in ["b", "a", "Z", "sub/f", "sub/deep/g"] {
            fs::write(from.host.join(name), name).unwrap();
        }
        let ago = SystemTime::now() - Duration::from_secs(9);
        set_modified(&to.host, ago).unwrap();
        let (names, code) = listed(&from, &to, Flags::default());
        assert_eq!((names[1..].join(" "), code), ("Z a b sub/ sub/f sub/deep/ sub/deep/g".to_owned(), 0));
        assert_eq!(listed(&from, &to, Flags::default()), (Vec::new(), 0));
        // As long as before, but another time; and as new, but another length.
        set_modified(&from.host.join("a"), ago).unwrap();
        fs::write(to.host.join("b"), "longer").unwrap();
        set_modified(&to.host.join("b"), SystemTime::now() + Duration::from_secs(9)).unwrap();
        assert_eq!(listed(&from, &to, Flags { update: true, ..Flags::default() }).0, [""; 0], "what is there is newer");
        assert_eq!(listed(&from, &to, Flags::default()).0, ["a", "b"]);
        assert_eq!(fs::read(to.host.join("b")).unwrap(), b"b");
        assert_eq!(listed(&from, &to, Flags { again: true, ..Flags::default() }).0.len(), 5);
    }

    #[test]
    fn only_with_delete_what_is_not_in_the_source_goes() {
        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["/from", "/to"].map(|path| place(folder.path(), path, false));
        fs::create_dir_all(to.host.join("old/x")).unwrap();
        fs::write(to.host.join("old/x/f"), "").unwrap();
        fs::write(to.host.join("extra"), "").unwrap();
        listed(&from, &to, Flags::default());
        assert!(to.host.join("old/x/f").exists());
        let (names, code) = listed(&from, &to, Flags { delete: true, ..Flags::default() });
        assert_eq!(names[..4], ["deleting old/x/f", "deleting old/x/", "deleting old/", "deleting extra"]);
        assert_eq!((code, fs::read_dir(&to.host).unwrap().count()), (0, 0));
    }

    #[test]
    fn a_read_only_target_is_noticed_when_there_is_something_to_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (place(folder.path(), "/from", false), place(folder.path(), "/windows-mount", true));
        assert_eq!(listed(&from, &to, Flags::default()), (Vec::new(), 0));
        fs::write(from.host.join("x"), "").unwrap();
        let (said, code) = listed(&from, &to, Flags::default());
        assert!(said[1].starts_with("rsync: [receiver] mkstemp \"/windows-mount/.x."), "{said:?}");
        assert!(said[1].ends_with("\" failed: Read-only file system (30)") && code == 23, "{said:?}");
        let gone = Place { host: folder.path().join("gone"), ..from };
        assert_eq!(listed(&gone, &to, Flags::default()).1, 23);
    }
}
