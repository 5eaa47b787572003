//! Notices changes in the host folders: by notifications, and by polling, because network file systems send none. All tests that
//! wait in one host folder share one watcher and one poll.

use std::sync::PoisonError;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Host, POLL, Seen, Stat};
use crate::digest::Digest;

/// Notifications within this time count as one: rsync causes many.
const DEBOUNCE: Duration = Duration::from_millis(30);
/// The poll interval once the system has sent a notification.
const SLOW_POLL: Duration = Duration::from_secs(1);
/// When to read a file of the right size and mtime but different content again: the clock may not have advanced between two
/// changes.
const REREAD: Duration = Duration::from_secs(1);
/// When to open a file regardless of notifications and metadata: some file systems cache the metadata until a file is opened.
const REOPEN: Duration = Duration::from_secs(2);

/// Changes in a folder: notifications of the system, or else a poll.
pub struct Changes {
    events: mpsc::Receiver<()>,
    has_notified: bool,
    _watcher: Option<RecommendedWatcher>,
}

impl Changes {
    /// Waits for a notification or the next poll, which comes later once the system has sent a notification.
    pub async fn next(&mut self, poll: Duration) {
        let poll = if self.has_notified { SLOW_POLL } else { poll };
        tokio::select! {
            Some(()) = self.events.recv() => self.has_notified = true,
            () = sleep(poll) => {}
        }
    }

    /// Continues with another folder on the same disk.
    pub fn of(self, other: Self) -> Self {
        Self { has_notified: self.has_notified, ..other }
    }
}

impl Host {
    /// Changes from now on in a folder, not below it; with an empty `name`, in the server's host folder itself.
    pub fn changes(&self, server: &str, name: &str) -> Changes {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is not a change.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        // If the folder cannot be watched, polling remains.
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(&self.folder(server).join(name), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        Changes { events, has_notified: false, _watcher: watcher.ok() }
    }

    /// Waits until the file has the expected content; returns when that was noticed.
    /// Errors: what was seen last, at the deadline.
    pub async fn arrival(
        &self,
        server: &str,
        name: &str,
        expected: &Digest,
        deadline: Instant,
    ) -> Result<Instant, Seen> {
        let mut ticks = None;
        let mut read = None;
        loop {
            let seen = self.look(server, name, expected).await;
            if seen == Seen::Complete {
                return Ok(Instant::now());
            }
            if Instant::now() >= deadline {
                return Err(seen);
            }
            let ticks = ticks.get_or_insert_with(|| self.ticks(server));
            let is_worth_reading = async {
                loop {
                    let _ = ticks.changed().await;
                    let stat = self.stat(server, name).await.ok().flatten();
                    let Some(stat) = stat.filter(|stat| stat.bytes == expected.bytes()) else { continue };
                    if read.is_none_or(|(then, at): (Stat, Instant)| then != stat || at.elapsed() >= REREAD) {
                        read = Some((stat, Instant::now()));
                        return;
                    }
                }
            };
            let _ = timeout_at(deadline.min(Instant::now() + REOPEN), is_worth_reading).await;
        }
    }

    /// Ticks when files in a server's host folder may have changed; the task ends with the last receiver.
    fn ticks(&self, server: &str) -> watch::Receiver<()> {
        let mut all = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = all.get(server) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(());
        all.insert(server.to_owned(), sender.clone());
        let (host, server) = (self.clone(), server.to_owned());
        tokio::spawn(async move {
            let mut changes = host.changes(&server, "");
            loop {
                let began = Instant::now();
                changes.next(POLL).await;
                sleep_until(began + DEBOUNCE).await;
                let mut all = host.ticks.lock().unwrap_or_else(PoisonError::into_inner);
                if sender.send(()).is_err() {
                    // No receiver is left.
                    all.remove(&server);
                    return;
                }
            }
        });
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;
    use super::*;

    #[tokio::test]
    async fn a_file_arrives_when_it_is_complete_and_is_never_overwritten() {
        let (_root, host) = host();
        let whole = Digest::of("whole");
        let soon = || Instant::now() + Duration::from_millis(300);
        assert_eq!(host.arrival("nas", "a.txt", &whole, soon()).await, Err(Seen::Absent));
        host.create("nas", "a.txt", b"who").await.unwrap();
        assert_eq!(host.arrival("nas", "a.txt", &whole, soon()).await, Err(Seen::Different(3)));
        let later = Instant::now() + Duration::from_secs(30);
        let (arrived, ()) = tokio::join!(host.arrival("nas", "a.txt", &whole, later), async {
            host.append("nas", "a.txt", b"le").await.unwrap();
        });
        assert!(arrived.is_ok());
        assert!(host.create("nas", "a.txt", b"").await.is_err(), "it exists");
        host.remove("nas", "a.txt").await.unwrap();
        host.remove("nas", "a.txt").await.unwrap();
        assert_eq!(host.look("nas", "a.txt", &Digest::default()).await, Seen::Absent);
    }
}
