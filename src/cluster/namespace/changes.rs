//! Who is woken when something in the namespace changes: whoever waits for the server that it is about. Imports nothing of ours.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tokio::time::timeout;

/// After this time it is looked at in any case.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Counts {
    for_all: u64,
    by_server: BTreeMap<String, u64>,
}

impl Counts {
    /// How often something has changed that may matter to a server; of none: to any.
    pub fn of(&self, server: Option<&str>) -> u64 {
        let own = server
            .map_or_else(|| self.by_server.values().sum(), |server| self.by_server.get(server).copied().unwrap_or(0));
        self.for_all + own
    }
}

#[derive(Debug, Default)]
pub(super) struct Bell(watch::Sender<Counts>);

impl Bell {
    /// Wakes whoever waits for a change of that server; of none: everybody.
    pub fn ring(&self, server: Option<&str>) {
        self.0.send_modify(|counts| match server {
            Some(server) => *counts.by_server.entry(server.to_owned()).or_default() += 1,
            None => counts.for_all += 1,
        });
    }

    pub fn listen(&self) -> watch::Receiver<Counts> {
        self.0.subscribe()
    }
}

/// Something to wait on for the next change.
pub struct Changes {
    counts: watch::Receiver<Counts>,
    server: Option<String>,
    known: u64,
}

impl Changes {
    /// For changes from now on that may be of that server; of none: for all.
    pub(super) fn new(counts: watch::Receiver<Counts>, server: Option<&str>) -> Self {
        let known = counts.borrow().of(server);
        Self { counts, server: server.map(str::to_owned), known }
    }

    /// Waits for the next change, or for some time: that a server's pod does not come may also lie in what becomes of another's.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        let Self { counts, server, known } = self;
        if let Ok(changed) = timeout(LONGEST, counts.wait_for(|counts| counts.of(server.as_deref()) != *known)).await {
            *known = changed?.of(server.as_deref());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_change_wakes_whoever_waits_for_its_server() {
        let bell = Bell::default();
        let [mut one, mut two, mut all] =
            [Some("one"), Some("two"), None].map(|server| Changes::new(bell.listen(), server));
        for (rung, woken) in [(Some("one"), [true, false, true]), (None, [true; 3]), (Some("two"), [false, true, true])]
        {
            bell.ring(rung);
            assert_eq!(
                [&mut one, &mut two, &mut all].map(|it| it.changed().now_or_never().is_some()),
                woken,
                "{rung:?}"
            );
        }
        drop(bell);
        assert!(one.changed().await.is_err());
    }
}
