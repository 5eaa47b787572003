//! What a reader of a file sees of it while it grows: never less than before.

use std::convert::Infallible;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::host::Host;

/// How often the file's size is looked at, beside what the system tells: where it tells nothing, less of it is there only for a
/// moment.
const POLL: Duration = Duration::from_millis(20);
/// The same before it is there.
const ABSENT: Duration = Duration::from_millis(100);
/// So many sizes are kept.
const MOST: usize = 64;

/// The sizes that a reader of the final name saw.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Sizes {
    /// Each time that it was another one.
    pub seen: Vec<u64>,
    /// The one that is there now, also when no more are kept.
    #[serde(skip)]
    pub now: Option<u64>,
    /// The first time that it was less than before: how much it was then, and after; `None` if the file was gone.
    pub shrunk: Option<(u64, Option<u64>)>,
}

impl Sizes {
    /// Takes in a size; whether it is another one.
    fn take(&mut self, size: Option<u64>) -> bool {
        if size == self.now {
            return false;
        }
        if self.seen.len() < MOST {
            self.seen.extend(size);
        }
        if let Some(before) = self.now.filter(|before| size.is_none_or(|size| size < *before)) {
            self.shrunk.get_or_insert((before, size));
        }
        self.now = size;
        true
    }
}

/// Looks at the file's size, for ever.
pub async fn follow(host: &Host, server: &str, folder: &str, name: &str, sizes: &watch::Sender<Sizes>) -> Infallible {
    let mut news = host.news(server, "");
    let mut is_inside = false;
    loop {
        // One that another program holds is looked at again.
        if let Ok(stat) = host.stat(server, name).await {
            let bytes = stat.map(|stat| stat.bytes);
            sizes.send_if_modified(|sizes| sizes.take(bytes));
            if !is_inside && bytes.is_some() {
                news = news.of(host.news(server, folder));
                is_inside = true;
            }
        }
        // What is not there cannot shrink.
        news.next(if is_inside { POLL } else { ABSENT }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_before_is_noticed_once_also_when_no_more_sizes_are_kept() {
        let mut sizes = Sizes::default();
        for size in [None, Some(0), Some(10), Some(10), Some(20)] {
            sizes.take(size);
        }
        assert_eq!((sizes.seen.as_slice(), sizes.shrunk), (&[0, 10, 20][..], None), "nothing before the first is less");
        let mut gone = sizes.clone();
        gone.take(None);
        gone.take(Some(5));
        assert_eq!(gone.shrunk, Some((20, None)));
        for size in 21..=1_000 {
            sizes.take(Some(size));
        }
        assert_eq!((sizes.seen.len(), sizes.shrunk), (MOST, None));
        sizes.take(Some(999));
        assert_eq!(sizes.shrunk, Some((1_000, Some(999))));
    }
}
