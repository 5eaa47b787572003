//! The work of files/sidecar.sh, and what a sidecar may do instead.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::container::Container;
use super::mounts::Place;
use super::rsync::{Flags, SUMMARY};
use crate::sim::scenario::Behaviour;

/// The last cycle of a sidecar that has been running for long ended within this time.
const LATELY: Duration = Duration::from_secs(30);
/// So many past cycles are in the log of a sidecar that has been running for long.
const PAST: u32 = 12;
/// How long a cycle with nothing to copy takes.
const CYCLE: Duration = Duration::from_millis(25);
/// What rsync needs without a pause between two cycles, on the CPU that the sidecar may have.
const BUSY: Duration = Duration::from_millis(70);
/// A file of so many bytes is a large one, and how long it is empty where it is written in place.
const LARGE: usize = 1 << 20;
const EMPTY: Duration = Duration::from_millis(150);
/// So many times in a row not all may be copied.
const FAILURES: u32 = 3;

/// Copies again and again; returns the exit code.
pub(super) async fn run(container: &mut Container) -> i32 {
    let behaviour = container.behaviour();
    let interval = container.env("SYNC_INTERVAL").parse().unwrap_or(container.world.interval);
    container.say(format!("=== NAS {} Sync Sidecar Starting ===", container.env("NAS_NAME")));
    container.say(format!("Sync interval: {interval}s"));
    container.say("Direction: NFS export -> Windows mount");
    let interval = Duration::from_secs(interval);
    if let Some(began) = container.past.take()
        && behaviour.is_none()
    {
        tokio::time::sleep(remember(container, began, interval)).await;
    }
    let mut failures = 0;
    loop {
        let start = container.now();
        match cycle(container, behaviour).await {
            0 | 24 => {
                failures = 0;
                synced(container, start, container.now());
            }
            status => {
                failures += 1;
                if status != 23 || failures == FAILURES {
                    return status;
                }
                let time = container.now().strftime("%H:%M:%S");
                container.say(format!("[{time}] Not all was synced to Windows: rsync exit code {status}"));
            }
        }
        let rest = if behaviour == Some(Behaviour::NeverRests) { BUSY } else { interval };
        tokio::time::sleep(rest).await;
    }
}

/// Says the cycles that ended before now, and returns how far the next one is.
fn remember(container: &Container, began: Timestamp, interval: Duration) -> Duration {
    let now = container.now();
    // The first cycle was not long ago, so that one that sleeps for long sleeps on.
    let since = interval.min(LATELY).mul_f64(rand::random());
    let ends = (0..PAST).map_while(|count| {
        let end = now - since - (interval + CYCLE) * count;
        (end - CYCLE > began).then_some(end)
    });
    for end in ends.collect::<Vec<_>>().into_iter().rev() {
        container.say_at(end - CYCLE, "sending incremental file list");
        for line in SUMMARY {
            container.say_at(end - Duration::from_millis(1), line);
        }
        synced(container, end - CYCLE, end);
    }
    interval.saturating_sub(since)
}

fn synced(container: &Container, start: Timestamp, end: Timestamp) {
    let seconds = end.as_second() - start.as_second();
    container.say_at(end, format!("[{}] Synced to Windows in {seconds}s", end.strftime("%H:%M:%S")));
}

async fn cycle(container: &Container, behaviour: Option<Behaviour>) -> i32 {
    let target = if behaviour == Some(Behaviour::CopiesElsewhere) { "/tmp/out" } else { "/windows-mount" };
    let (Ok(mut export), Ok(folder)) = (container.place("/nfs-data"), container.place(target)) else { return 23 };
    let flags = Flags {
        delete: behaviour == Some(Behaviour::Deletes),
        again: behaviour == Some(Behaviour::CopiesAgain),
        keep: behaviour == Some(Behaviour::KeepsOlder),
        update: false,
    };
    match behaviour {
        Some(Behaviour::Fails) => {
            container.say("sending incremental file list");
            container.say("rsync error: error in file IO (code 11) at main.c(808) [Receiver=3.4.1]");
            0
        }
        Some(Behaviour::Truncates) => container.rsync(export, folder, flags, |to, files| each(to, files, cut)).await,
        Some(Behaviour::Corrupts) => container.rsync(export, folder, flags, |to, files| each(to, files, spoil)).await,
        Some(Behaviour::WritesInPlace) => {
            container.rsync(export, folder, flags, |to, files| each(to, files, rewrite)).await
        }
        Some(Behaviour::LosesTimes) => container.rsync(export, folder, flags, |to, files| each(to, files, renew)).await,
        Some(Behaviour::LeavesTemporaries) => {
            container.rsync(export, folder, flags, |to, files| each(to, files, leave)).await
        }
        Some(Behaviour::CopiesBothWays) => {
            export.read_only = false;
            let newer = Flags { update: true, ..flags };
            let back = container.rsync(folder.clone(), export.clone(), newer, |to, _| touch(&to.host)).await;
            back.max(container.rsync(export, folder, newer, |_, _| ()).await)
        }
        Some(Behaviour::CopiesElsewhere) => {
            // A folder of its own; that it cannot be made is rsync's to say.
            let _ = fs::create_dir_all(&folder.host);
            container.rsync(export, folder, flags, |_, _| ()).await
        }
        _ => container.rsync(export, folder, flags, |_, _| ()).await,
    }
}

fn each(folder: &Place, files: &[String], change: fn(&Path) -> io::Result<()>) {
    for file in files {
        // One that is gone again is not changed.
        let _ = change(&folder.host.join(file));
    }
}

/// Cuts off three bytes.
fn cut(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(file.metadata()?.len().saturating_sub(3))
}

/// Changes the first byte, but not the time.
fn spoil(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    let mut first = [0];
    file.read_exact(&mut first)?;
    file.rewind()?;
    file.write_all(&[!first[0]])?;
    file.set_modified(modified)
}

/// Empties a large file, and writes it again a moment later.
fn rewrite(path: &Path) -> io::Result<()> {
    let (content, modified) = (fs::read(path)?, fs::metadata(path)?.modified()?);
    if content.len() < LARGE {
        return Ok(());
    }
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    std::thread::sleep(EMPTY);
    file.write_all(&content)?;
    file.set_modified(modified)
}

/// Makes a file look new.
fn renew(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.set_modified(SystemTime::now())
}

/// Leaves a temporary beside a file of a folder in the tester's folder.
fn leave(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_run = |folder: &Path| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("e2e-"));
    let is_inside = path.ancestors().skip(1).any(is_run);
    if is_inside { fs::write(path.with_file_name(format!(".{name}.AbCdEf")), "") } else { Ok(()) }
}

/// Makes every file in a folder and below look new.
fn touch(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            touch(&path);
        } else {
            // One that is gone again is not touched.
            let _ = renew(&path);
        }
    }
}
