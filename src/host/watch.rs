//! Noticing what happens in the host folder: by notifications, behind which a poll stands, because network file systems
//! send none. In each server's folder there is one of both, for all who wait there.

use std::sync::PoisonError;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Host, POLL, Seen, Stat};
use crate::digest::Digest;

/// What comes within this time is one piece of news: rsync makes many.
const GATHER: Duration = Duration::from_millis(30);
/// The pause between two looks where the system tells when to look.
const SELDOM: Duration = Duration::from_secs(1);
/// A file that has the right size, and was not the right one, is read again after this time even if nothing tells that it
/// changed: a clock that stands still for a moment hides a change.
const AGAIN: Duration = Duration::from_secs(1);
/// A file is looked at after this time whatever is told of it: some file systems remember what a file was like until it is opened.
const LATEST: Duration = Duration::from_secs(2);

/// What happens in a folder, as the system tells it; where that does not, a poll has to do.
pub struct News {
    events: mpsc::Receiver<()>,
    has_told: bool,
    _watcher: Option<RecommendedWatcher>,
}

impl News {
    /// Waits until something happened, or for as long as a poll does: much longer once the system has told something.
    pub async fn next(&mut self, poll: Duration) {
        let poll = if self.has_told { SELDOM } else { poll };
        tokio::select! {
            Some(()) = self.events.recv() => self.has_told = true,
            () = sleep(poll) => {}
        }
    }

    /// The same of another folder on the same disk.
    pub fn of(self, other: Self) -> Self {
        Self { has_told: self.has_told, ..other }
    }
}

impl Host {
    /// What happens directly in a folder from now on; `name` is empty for the server's own.
    pub fn news(&self, server: &str, name: &str) -> News {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own looking opens files too: that is no news.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = sender.try_send(());
            }
        });
        // Where the folder cannot be watched, the poll does it alone.
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(&self.folder(server).join(name), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        News { events, has_told: false, _watcher: watcher.ok() }
    }

    /// Waits until the file is there with the expected content, and says when that was noticed.
    ///
    /// # Errors
    /// The time is over: what was seen last.
    pub async fn arrival(&self, server: &str, name: &str, expected: &Digest, limit: Instant) -> Result<Instant, Seen> {
        let mut ticks = None;
        let mut read = None;
        loop {
            let seen = self.look(server, name, expected).await;
            if seen == Seen::Whole {
                return Ok(Instant::now());
            }
            if Instant::now() >= limit {
                return Err(seen);
            }
            let ticks = ticks.get_or_insert_with(|| self.ticks(server));
            let worth_reading = async {
                loop {
                    let _ = ticks.changed().await;
                    let stat = self.stat(server, name).await.ok().flatten();
                    let Some(stat) = stat.filter(|stat| stat.bytes == expected.bytes()) else { continue };
                    if read.is_none_or(|(then, at): (Stat, Instant)| then != stat || at.elapsed() >= AGAIN) {
                        read = Some((stat, Instant::now()));
                        return;
                    }
                }
            };
            let _ = timeout_at(limit.min(Instant::now() + LATEST), worth_reading).await;
        }
    }

    /// Tells when files of a server's folder are worth a look, for as long as somebody listens.
    fn ticks(&self, server: &str) -> watch::Receiver<()> {
        let mut all = self.ticks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = all.get(server) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(());
        all.insert(server.to_owned(), sender.clone());
        let (host, server) = (self.clone(), server.to_owned());
        tokio::spawn(async move {
            let mut news = host.news(&server, "");
            loop {
                let began = Instant::now();
                news.next(POLL).await;
                sleep_until(began + GATHER).await;
                let mut all = host.ticks.lock().unwrap_or_else(PoisonError::into_inner);
                if sender.send(()).is_err() {
                    // Nobody waits any more.
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
    async fn an_arrival_is_noticed_and_a_truncated_file_is_none() {
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
        assert!(host.create("nas", "a.txt", b"").await.is_err(), "a file that exists is never overwritten");
        host.remove("nas", "a.txt").await.unwrap();
        host.remove("nas", "a.txt").await.unwrap();
        assert_eq!(host.look("nas", "a.txt", &Digest::default()).await, Seen::Absent);
    }
}
