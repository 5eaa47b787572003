//! What of the tester's own machine makes a test go wrong that is no fault of the system: then it was not judged.

use crate::check::{Check, Need, Place, Site};
use crate::event::{Outcome, Reason, Verdict};

/// The verdict as it was, or ERROR where another program held a file of the test, or the folder took no more.
pub async fn considered(site: &Site, check: &Check, verdict: Verdict) -> Verdict {
    if !matches!(verdict.outcome, Outcome::Fail | Outcome::Error) {
        return verdict;
    }
    if let Some(held) = held(site) {
        // What could not be read was not judged, whatever it looked like.
        return Verdict::error(held);
    }
    // `host-mount` requires just that and says so itself.
    let is_copied = check.writes().is_some_and(|(_, sidecar)| sidecar.is_some());
    let relies_on_room = (is_copied || check.needs(Need::Folder)) && check.kind() != "host-mount";
    if verdict.blocked_by.is_some() || !relies_on_room {
        return verdict;
    }
    let Some(full) = full(site, check.room()).await else { return verdict };
    // Whatever it looked like: nothing could arrive there.
    let mut verdict = Verdict { outcome: Outcome::Error, ..verdict };
    verdict.reasons.insert(0, full);
    verdict
}

/// Why the test could not read a file of its own: another program has it open.
fn held(site: &Site) -> Option<Reason> {
    let shared = &site.shared;
    let hosted = shared.ledger.placed(|placed| placed.case == site.id && placed.place == Place::Host);
    hosted.into_iter().find_map(|placed| {
        let why = shared.host.held(&placed.server, &placed.name)?;
        let reason =
            Reason::new(placed.to_string(), "to be open to others, too", format!("another program holds it: {why}"));
        Some(reason.hint("close what holds it, such as an editor or a virus scanner, and run the test again"))
    })
}

/// Why so many bytes more cannot be written into the tester's folder of the server: its disk.
async fn full(site: &Site, bytes: usize) -> Option<Reason> {
    let server = site.id.server.as_deref()?;
    let (host, ledger) = (&site.shared.host, &site.shared.ledger);
    let file = site.file("room.bin");
    ledger.place(file.clone());
    let full = host.no_room(server, &file.name, bytes).await;
    // What cannot be removed now stays in the ledger.
    if host.remove(server, &file.name).await.is_ok() {
        ledger.removed(&file);
    }
    let reason =
        Reason::new(format!("folder {}", host.folder(server).display()), "to take files during the whole test", full?);
    Some(reason.hint("make room in it, or make it writable, and run the test again"))
}
