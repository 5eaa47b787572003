//! The host folders on this machine: reads, writes and removes the run's files.
//!
//! Imports only `digest`. Touches only the given paths inside a server's host folder.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::RwLock;
use tokio::time::{Instant, timeout};

use crate::digest::Digest;

mod leftovers;
mod watch;

/// The poll interval where the system sends no notifications.
const POLL: Duration = Duration::from_millis(100);

const READ: usize = 1 << 18;

/// How long to retry a file that another program locks.
const LOCKED: Duration = Duration::from_secs(2);

/// The time limit for the file system: a network mount whose server is gone may never answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Host {
    pub root: PathBuf,
    /// Held during every write, even if the test was aborted.
    writing: Arc<RwLock<()>>,
    /// By server, wakes tests that wait for a file; present only while there are any.
    ticks: Arc<Mutex<BTreeMap<String, tokio::sync::watch::Sender<()>>>>,
    /// Files that another program locked when they were last read, with the system's error.
    locked: Arc<Mutex<BTreeMap<PathBuf, String>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    Folder,
    Other,
    Missing,
    Unreadable(String),
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder => f.write_str("a folder"),
            Self::Other => f.write_str("not a folder"),
            Self::Missing => f.write_str("it does not exist"),
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

/// What was found at a file's path, here or in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    Absent,
    /// Different content, of this many bytes.
    #[serde(alias = "Other")]
    Different(u64),
    #[serde(alias = "Trouble")]
    Unreadable(String),
    #[serde(rename = "Whole")]
    Complete,
    /// The container does not mount the folder.
    NoMount(String),
    /// It was not checked, which proves nothing.
    Unknown(String),
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("no such file"),
            Self::Different(bytes) => write!(f, "{bytes} bytes of different content"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Complete => f.write_str("complete"),
            Self::NoMount(why) => f.write_str(why),
            Self::Unknown(why) => write!(f, "not checked: {why}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    pub bytes: u64,
    /// The mtime in milliseconds since 1970.
    pub modified: i64,
}

impl Host {
    pub fn new(root: PathBuf) -> Self {
        Self { root, writing: Arc::default(), ticks: Arc::default(), locked: Arc::default() }
    }

    pub fn folder(&self, server: &str) -> PathBuf {
        self.root.join(server)
    }

    pub async fn is_folder(&self, server: &str) -> bool {
        self.entry(server).await == Entry::Folder
    }

    pub async fn entry(&self, server: &str) -> Entry {
        let path = self.folder(server);
        match blocking(move || std::fs::metadata(&path)).await {
            Ok(metadata) if metadata.is_dir() => Entry::Folder,
            Ok(_) => Entry::Other,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Entry::Missing,
            Err(error) => Entry::Unreadable(error.to_string()),
        }
    }

    /// The system's error if another program locked the file, or one in the folder, when it was last read.
    pub fn locked(&self, server: &str, name: &str) -> Option<String> {
        let locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.folder(server).join(name);
        locked.iter().find(|(path, _)| path.starts_with(&place)).map(|(_, why)| why.clone())
    }

    /// Compares a file with the expected content; reads it only if the size matches.
    pub async fn look(&self, server: &str, name: &str, expected: &Digest) -> Seen {
        let path = self.folder(server).join(name);
        let (opened, bytes) = (path.clone(), expected.bytes());
        let read = blocking(move || {
            let file = std::fs::File::open(&opened)?;
            let size = file.metadata()?.len();
            let mut digest = Digest::default();
            if size == bytes {
                io::copy(&mut io::BufReader::with_capacity(READ, file), &mut digest)?;
            }
            Ok((size, digest))
        });
        let read = read.await;
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        match &read {
            Err(error) if is_locked(error) => drop(locked.insert(path, error.to_string())),
            _ => drop(locked.remove(&path)),
        }
        match read {
            Ok((size, digest)) if size == bytes && digest == *expected => Seen::Complete,
            Ok((size, _)) => Seen::Different(size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Absent,
            Err(error) => Seen::Unreadable(error.to_string()),
        }
    }

    /// The relative paths of all files in and below a server's host folder, with `/`; links are not followed.
    /// Errors: a folder cannot be read, or there are more than `most` files and folders.
    pub async fn files(&self, server: &str, most: usize) -> io::Result<Vec<String>> {
        let root = self.folder(server);
        blocking(move || walk(&root, most)).await
    }

    /// The files in and below a folder of a server's host folder.
    /// Errors: as for [`Self::files`].
    pub async fn files_in(&self, server: &str, folder: &str, most: usize) -> io::Result<Vec<(String, Stat)>> {
        let root = self.folder(server).join(folder);
        blocking(move || {
            let files = walk(&root, most)?.into_iter().map(|path| (stat(&root.join(&path)), path));
            // Leaves out files that were removed since they were listed.
            files.filter_map(|(stat, path)| Some(stat.transpose()?.map(|stat| (path, stat)))).collect()
        })
        .await
    }

    pub async fn stat(&self, server: &str, name: &str) -> io::Result<Option<Stat>> {
        let path = self.folder(server).join(name);
        blocking(move || stat(&path)).await
    }

    pub async fn make_folder_in(&self, server: &str, name: &str) -> io::Result<()> {
        let path = self.folder(server).join(name);
        self.write(move || std::fs::create_dir(&path)).await
    }

    /// Writes a new file; an error if it exists.
    pub async fn create(&self, server: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, content) = (self.folder(server).join(name), content.to_owned());
        self.write(move || std::fs::File::create_new(&path)?.write_all(&content)).await
    }

    /// Appends to a file as a tester would.
    pub async fn append(&self, server: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, content) = (self.folder(server).join(name), content.to_owned());
        self.write(move || std::fs::OpenOptions::new().append(true).open(&path)?.write_all(&content)).await
    }

    /// Waits for pending writes, so that no file appears after its removal; not longer than [`REPLY_TIMEOUT`].
    pub async fn writes_finished(&self) {
        let _ = timeout(REPLY_TIMEOUT, self.writing.write()).await;
    }

    async fn write<T: Send + 'static>(&self, attempt: impl Fn() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let guard = Arc::clone(&self.writing).read_owned().await;
        blocking(move || {
            let _guard = &guard;
            attempt()
        })
        .await
    }

    /// Removes a file, or a folder with its content; no error if it does not exist.
    pub async fn remove(&self, server: &str, name: &str) -> io::Result<()> {
        let path = self.folder(server).join(name);
        let remove = move || if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match blocking(remove).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn stat(path: &Path) -> io::Result<Option<Stat>> {
    let data = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        data => data?,
    };
    let modified = jiff::Timestamp::try_from(data.modified()?).map_err(io::Error::other)?;
    Ok(Some(Stat { bytes: data.len(), modified: modified.as_millisecond() }))
}

fn walk(root: &Path, most: usize) -> io::Result<Vec<String>> {
    let mut folders = vec![String::new()];
    let (mut files, mut count) = (Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            count += 1;
            if count > most {
                return Err(io::Error::other(format!("there are more than {most} files and folders")));
            }
            let entry = entry?;
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path + "/");
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Whether another program locks the file: `ERROR_SHARING_VIOLATION`, `ERROR_LOCK_VIOLATION`.
fn is_locked(error: &io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33))
}

/// Calls the file system in a blocking thread, because it may stall; retries briefly while another program, such as a virus
/// scanner, locks the file (only on Windows).
async fn blocking<T: Send + 'static>(attempt: impl Fn() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let with_retries = move || {
        let deadline = Instant::now() + LOCKED;
        loop {
            match attempt() {
                Err(error) if is_locked(&error) && Instant::now() < deadline => std::thread::sleep(POLL),
                result => return result,
            }
        }
    };
    let timed_out =
        |_| io::Error::new(io::ErrorKind::TimedOut, format!("no reply within {} s", REPLY_TIMEOUT.as_secs()));
    let result = timeout(REPLY_TIMEOUT, tokio::task::spawn_blocking(with_retries)).await.map_err(timed_out)?;
    result.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host folder of one server, `nas`.
    pub fn host() -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        let host = Host::new(root.path().to_owned());
        (root, host)
    }

    #[tokio::test]
    async fn files_are_listed_recursively_or_not_at_all() {
        let (root, host) = host();
        std::fs::create_dir_all(root.path().join("nas/a/b")).unwrap();
        for name in ["nas/one", "nas/a/b/two"] {
            std::fs::write(root.path().join(name), "").unwrap();
        }
        let mut files = host.files("nas", 4).await.unwrap();
        files.sort();
        assert_eq!(files, ["a/b/two", "one"]);
        assert!(host.files("nas", 3).await.is_err());
        assert!(host.files("missing", 3).await.is_err());
    }
}
