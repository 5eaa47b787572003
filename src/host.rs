//! The tester's folder on this machine: reading, writing and removing the run's own files, and noticing arrivals.
//!
//! Imports nothing of ours. Touches only the paths it is given, directly inside a server's folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The poll that stands behind notifications, which network file systems do not send.
const POLL: Duration = Duration::from_millis(100);

/// How long a file that another program holds is tried again.
const HELD: Duration = Duration::from_secs(2);

/// The folder with one sub-folder for each server.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

/// What was last seen where a file was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// No file of that name.
    Absent,
    /// A file with other content, of this many bytes.
    Different(usize),
    /// A file that could not be read.
    Unreadable(String),
    /// The file, whole.
    Whole,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("no file of that name"),
            Self::Different(bytes) => write!(f, "a file of {bytes} bytes with other content"),
            Self::Unreadable(error) => write!(f, "a file that cannot be read: {error}"),
            Self::Whole => f.write_str("the file, whole"),
        }
    }
}

impl Host {
    /// The tester's folder at `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder of all servers.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of one server.
    pub fn folder(&self, server: &str) -> PathBuf {
        self.root.join(server)
    }

    /// Whether the server's folder is there.
    pub async fn is_folder(&self, server: &str) -> bool {
        let path = self.folder(server);
        blocking(move || Ok(path.is_dir())).await.unwrap_or(false)
    }

    /// Compares the file with the expected content.
    pub async fn look(&self, server: &str, name: &str, expected: &[u8]) -> Seen {
        let path = self.folder(server).join(name);
        match blocking(move || std::fs::read(&path)).await {
            Ok(content) if content == expected => Seen::Whole,
            Ok(content) => Seen::Different(content.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Absent,
            Err(error) => Seen::Unreadable(error.to_string()),
        }
    }

    /// Writes a new file; one of that name must not exist.
    pub async fn create(&self, server: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, content) = (self.folder(server).join(name), content.to_owned());
        blocking(move || std::fs::File::create_new(&path)?.write_all(&content)).await
    }

    /// Appends to a file as a tester would.
    pub async fn append(&self, server: &str, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, content) = (self.folder(server).join(name), content.to_owned());
        blocking(move || std::fs::OpenOptions::new().append(true).open(&path)?.write_all(&content)).await
    }

    /// Removes a file; one that is not there is fine.
    pub async fn remove(&self, server: &str, name: &str) -> io::Result<()> {
        let path = self.folder(server).join(name);
        match blocking(move || std::fs::remove_file(&path)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until the file is there with the expected content, and says when that was noticed.
    ///
    /// # Errors
    /// The time is over: what was seen last.
    pub async fn arrival(&self, server: &str, name: &str, expected: &[u8], limit: Instant) -> Result<Instant, Seen> {
        let (sender, mut events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own looking opens files too: that is no news.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                // A full channel means that a look is already due.
                let _ = sender.try_send(());
            }
        });
        // Where the folder cannot be watched, the poll does it alone.
        let _watcher = watcher.and_then(|mut watcher| {
            watcher.watch(&self.folder(server), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        loop {
            let seen = self.look(server, name, expected).await;
            if seen == Seen::Whole {
                return Ok(Instant::now());
            }
            if Instant::now() >= limit {
                return Err(seen);
            }
            let next = limit.min(Instant::now() + POLL);
            tokio::select! {
                Some(()) = events.recv() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }
}

/// Calls the file system where it may stall without holding up anything else; tries again for a moment while another
/// program, such as a virus scanner, holds the file (only on Windows).
async fn blocking<T: Send + 'static>(attempt: impl Fn() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    // ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION.
    let is_held = |error: &io::Error| cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33));
    let patiently = move || {
        let limit = Instant::now() + HELD;
        loop {
            match attempt() {
                Err(error) if is_held(&error) && Instant::now() < limit => std::thread::sleep(POLL),
                result => return result,
            }
        }
    };
    tokio::task::spawn_blocking(patiently).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_arrival_is_noticed_and_a_truncated_file_is_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        let host = Host::new(root.path().to_owned());
        let soon = || Instant::now() + Duration::from_millis(300);
        assert_eq!(host.arrival("nas", "a.txt", b"whole", soon()).await, Err(Seen::Absent));
        host.create("nas", "a.txt", b"who").await.unwrap();
        assert_eq!(host.arrival("nas", "a.txt", b"whole", soon()).await, Err(Seen::Different(3)));
        let later = Instant::now() + Duration::from_secs(30);
        let (arrived, ()) = tokio::join!(host.arrival("nas", "a.txt", b"whole", later), async {
            host.append("nas", "a.txt", b"le").await.unwrap();
        });
        assert!(arrived.is_ok());
        assert!(host.create("nas", "a.txt", b"").await.is_err(), "a file that exists is never overwritten");
        host.remove("nas", "a.txt").await.unwrap();
        host.remove("nas", "a.txt").await.unwrap();
        assert_eq!(host.look("nas", "a.txt", b"").await, Seen::Absent);
    }
}
