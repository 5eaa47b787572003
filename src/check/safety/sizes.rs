//! The sizes of a growing file, as a reader sees them: it must never shrink.

use std::convert::Infallible;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::host::Host;

/// How often the size is checked between events of the file system: where there are none, a smaller size lasts only a moment.
const POLL: Duration = Duration::from_millis(20);
/// How often the size is checked before the file exists.
const POLL_ABSENT: Duration = Duration::from_millis(100);
const MAX_SIZES: usize = 64;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Sizes {
    pub seen: Vec<u64>,
    /// The current one, even when no more are kept.
    #[serde(skip)]
    pub now: Option<u64>,
    /// The first time that the file shrank: its size before, and after; `None` if it vanished.
    pub shrunk: Option<(u64, Option<u64>)>,
}

impl Sizes {
    /// Records a size; whether it is new.
    fn record(&mut self, size: Option<u64>) -> bool {
        if size == self.now {
            return false;
        }
        if self.seen.len() < MAX_SIZES {
            self.seen.extend(size);
        }
        if let Some(before) = self.now.filter(|before| size.is_none_or(|size| size < *before)) {
            self.shrunk.get_or_insert((before, size));
        }
        self.now = size;
        true
    }
}

/// Records the file's sizes; never returns.
pub async fn follow(host: &Host, server: &str, folder: &str, name: &str, sizes: &watch::Sender<Sizes>) -> Infallible {
    let mut changes = host.changes(server, "");
    let mut is_inside = false;
    loop {
        // A file that another program locks is checked again.
        if let Ok(stat) = host.stat(server, name).await {
            let bytes = stat.map(|stat| stat.bytes);
            sizes.send_if_modified(|sizes| sizes.record(bytes));
            if !is_inside && bytes.is_some() {
                changes = changes.of(host.changes(server, folder));
                is_inside = true;
            }
        }
        changes.next(if is_inside { POLL } else { POLL_ABSENT }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_shrinking_is_recorded_even_when_no_more_sizes_are_kept() {
        let mut sizes = Sizes::default();
        for size in [None, Some(0), Some(10), Some(10), Some(20)] {
            sizes.record(size);
        }
        assert_eq!((sizes.seen.as_slice(), sizes.shrunk), (&[0, 10, 20][..], None), "the first size is no shrinking");
        let mut gone = sizes.clone();
        gone.record(None);
        gone.record(Some(5));
        assert_eq!(gone.shrunk, Some((20, None)));
        for size in 21..=1_000 {
            sizes.record(Some(size));
        }
        assert_eq!((sizes.seen.len(), sizes.shrunk), (MAX_SIZES, None));
        sizes.record(Some(999));
        assert_eq!(sizes.shrunk, Some((1_000, Some(999))));
    }
}
