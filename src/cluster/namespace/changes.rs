//! Notifies waiters of changes in the namespace that concern their server.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tokio::time::timeout;

/// How long to wait at most before looking again.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Counts {
    for_all: u64,
    by_server: BTreeMap<String, u64>,
}

impl Counts {
    /// The number of changes that may concern a server; without a server, of all changes.
    pub fn of(&self, server: Option<&str>) -> u64 {
        let own = server
            .map_or_else(|| self.by_server.values().sum(), |server| self.by_server.get(server).copied().unwrap_or(0));
        self.for_all + own
    }
}

#[derive(Debug, Default)]
pub(super) struct Notifier(watch::Sender<Counts>);

impl Notifier {
    /// Wakes the waiters of a server; without a server, all waiters.
    pub fn notify(&self, server: Option<&str>) {
        self.0.send_modify(|counts| match server {
            Some(server) => *counts.by_server.entry(server.to_owned()).or_default() += 1,
            None => counts.for_all += 1,
        });
    }

    pub fn subscribe(&self) -> watch::Receiver<Counts> {
        self.0.subscribe()
    }
}

pub struct Changes {
    counts: watch::Receiver<Counts>,
    server: Option<String>,
    known: u64,
}

impl Changes {
    /// For changes of this server from now on; without a server, for all changes.
    pub(super) fn new(counts: watch::Receiver<Counts>, server: Option<&str>) -> Self {
        let known = counts.borrow().of(server);
        Self { counts, server: server.map(str::to_owned), known }
    }

    /// Waits for the next change, but only some seconds: another server may free the room that a missing pod needs.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        let Self { counts, server, known } = self;
        if let Ok(changed) = timeout(MAX_WAIT, counts.wait_for(|counts| counts.of(server.as_deref()) != *known)).await {
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
    async fn a_change_wakes_the_waiters_of_its_server() {
        let notifier = Notifier::default();
        let [mut one, mut two, mut all] =
            [Some("one"), Some("two"), None].map(|server| Changes::new(notifier.subscribe(), server));
        for (server, woken) in
            [(Some("one"), [true, false, true]), (None, [true; 3]), (Some("two"), [false, true, true])]
        {
            notifier.notify(server);
            assert_eq!(
                [&mut one, &mut two, &mut all].map(|it| it.changed().now_or_never().is_some()),
                woken,
                "{server:?}"
            );
        }
        drop(notifier);
        assert!(one.changed().await.is_err());
    }
}
