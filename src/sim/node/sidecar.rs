//! The work of files/sidecar.sh, and what a sidecar may do instead.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use super::container::Container;
use super::mounts::Place;
use crate::sim::scenario::Behaviour;

/// So many times in a row not all may be copied.
const FAILURES: u32 = 3;

/// Copies again and again; returns the exit code.
pub(super) async fn run(container: &Container) -> i32 {
    let interval = container.env("SYNC_INTERVAL").parse().unwrap_or(container.world.interval);
    container.say(format!("=== NAS {} Sync Sidecar Starting ===", container.env("NAS_NAME")));
    container.say(format!("Sync interval: {interval}s"));
    container.say("Direction: NFS export -> Windows mount");
    let mut failures = 0;
    loop {
        let start = container.now();
        let status = cycle(container).await;
        let end = container.now();
        let time = end.strftime("%H:%M:%S");
        if matches!(status, 0 | 24) {
            failures = 0;
            container.say(format!("[{time}] Synced to Windows in {}s", end.as_second() - start.as_second()));
        } else {
            failures += 1;
            if status != 23 || failures == FAILURES {
                return status;
            }
            container.say(format!("[{time}] Not all was synced to Windows: rsync exit code {status}"));
        }
        tokio::time::sleep(Duration::from_secs(interval)).await;
    }
}

async fn cycle(container: &Container) -> i32 {
    let (Ok(export), Ok(folder)) = (container.place("/nfs-data"), container.place("/windows-mount")) else { return 23 };
    let behaviour = container.behaviour();
    let then = if behaviour == Some(Behaviour::Corrupts) { spoil } else { |_: &Place, _: &[String]| () };
    container.rsync(export, folder, behaviour == Some(Behaviour::CopiesAgain), then).await
}

fn spoil(folder: &Place, files: &[String]) {
    for file in files {
        // One that is gone again is not changed.
        let _ = change(&folder.host.join(file));
    }
}

/// Changes the first byte, but not the time.
fn change(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut first = [0];
    file.read_exact(&mut first)?;
    file.rewind()?;
    file.write_all(&[!first[0]])?;
    file.set_modified(modified)
}
