//! Noticing what happens in the tester's folder: by notifications, behind which a poll stands, because network file systems
//! send none.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Host, POLL, Seen};

/// What happens in a folder, as the system tells it; where that does not, a poll has to do.
pub struct News {
    events: mpsc::Receiver<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl News {
    /// Waits until something happened, or until then.
    pub async fn next(&mut self, limit: Instant) {
        tokio::select! {
            Some(()) = self.events.recv() => {}
            () = tokio::time::sleep_until(limit) => {}
        }
    }
}

impl Host {
    /// What happens directly in a folder from now on; `name` is empty for the server's own.
    pub fn news(&self, server: &str, name: &str) -> News {
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own looking opens files too: that is no news.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                // A full channel means that a look is already due.
                let _ = sender.try_send(());
            }
        });
        // Where the folder cannot be watched, the poll does it alone.
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(&self.folder(server).join(name), RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        News { events, _watcher: watcher.ok() }
    }

    /// Waits until the file is there with the expected content, and says when that was noticed.
    ///
    /// # Errors
    /// The time is over: what was seen last.
    pub async fn arrival(&self, server: &str, name: &str, expected: &[u8], limit: Instant) -> Result<Instant, Seen> {
        let mut news = self.news(server, "");
        loop {
            let seen = self.look(server, name, expected).await;
            if seen == Seen::Whole {
                return Ok(Instant::now());
            }
            if Instant::now() >= limit {
                return Err(seen);
            }
            news.next(limit.min(Instant::now() + POLL)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
