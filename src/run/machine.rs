//! What makes a test go wrong that is no fault of what it looks at: the tester's own machine, or another test's request that
//! ended the server. Then it was not judged.

use crate::check::{Check, Need, Place, Site};
use crate::event::{Hop, Outcome, Reason, Verdict};

/// The verdict as it was, or ERROR where another program held a file of the test, or the folder took no more.
pub async fn considered(site: &Site, check: &Check, verdict: Verdict) -> Verdict {
    if !matches!(verdict.outcome, Outcome::Fail | Outcome::Error) {
        return verdict;
    }
    if let Some(ended) = site.ended_under_it().await {
        return ended;
    }
    if let Some(held) = held(site) {
        // What could not be read was not judged, whatever it looked like.
        return Verdict::error(held);
    }
    // What went wrong before the folder, such as at the NFS server, did so with room in it, too.
    let is_before = verdict.outcome == Outcome::Fail && verdict.hop == Some(Hop::Nfs);
    if verdict.blocked_by.is_some() || is_before || !relies_on_room(check) {
        return verdict;
    }
    let Some(full) = full(site, check.room()).await else { return verdict };
    // Whatever it looked like: nothing could arrive there.
    let mut verdict = Verdict { outcome: Outcome::Error, ..verdict };
    verdict.reasons.insert(0, full);
    verdict
}

/// Whether its verdict depends on what arrives in the tester's folder.
fn relies_on_room(check: &Check) -> bool {
    match check.kind() {
        // The one says so itself, the other only looks whether the folder is there.
        "host-mount" | "host-folder" => false,
        // Of a sidecar that cannot copy, the log is another.
        "log-cadence" => true,
        _ => check.needs(Need::Folder),
    }
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
    let (full, is_gone) = host.no_room(server, &file.name, bytes).await;
    // What cannot be removed now stays in the ledger.
    if is_gone {
        ledger.removed(&file);
    }
    let reason =
        Reason::new(format!("folder {}", host.folder(server).display()), "to take files during the whole test", full?);
    Some(reason.hint("make room in it, or make it writable, and run the test again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::load::{BUILT_IN, load};

    #[test]
    fn a_full_folder_excuses_only_what_arrives_there() {
        let suites: Vec<_> = BUILT_IN.iter().map(|(name, _)| load(name).unwrap()).collect();
        let cases = suites.iter().flat_map(|suite| &suite.cases);
        let relying: Vec<_> = cases.filter(|case| relies_on_room(&case.check)).map(|case| case.check.kind()).collect();
        for kind in ["file-sync", "multi-write", "log-cadence", "restart", "large-file"] {
            assert!(relying.contains(&kind), "{kind}");
        }
        for kind in ["nfs", "isolation", "subfolder", "host-folder", "host-mount", "export-options"] {
            assert!(!relying.contains(&kind), "{kind}");
        }
    }
}
