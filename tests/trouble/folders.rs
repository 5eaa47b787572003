//! The tester's folder of one server is full, read-only, gone, or holds a file that cannot be touched: its tests say so,
//! those of the others pass, and what cannot be removed is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::lab::{Lab, output};
use crate::support::place::{Ended, LIMIT, Place};
use crate::support::simulated::Simulated;
use crate::support::{share, speed};

use super::{start, wait_for};

const SERVER: &str = "nas-output-1";

/// A file system of its own in the place of a folder; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Self {
        // With room for all files of a healthy run.
        output(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "tmpfs"]).arg(folder));
        Self(folder.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(&self.0, &self.0);
    }
}

/// What is done to the folder, and to the run's file there.
type Trouble = fn(&Path, &Path);

/// Leaves no room in it.
fn fill(folder: &Path, _: &Path) {
    let full = fs::write(folder.join("full"), vec![0; 16 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    // Nor for a name: a large file that gets smaller would make room for others.
    let full = (0..).find_map(|name| fs::write(folder.join(format!("full-{name}")), "").err()).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
}

fn make_read_only(folder: &Path, _: &Path) {
    // Not as long as a file is being written.
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,ro"]).arg(folder);
    wait_for("nobody to write", || remount.output().unwrap().status.success());
}

fn unmount(folder: &Path, _: &Path) {
    // It may be done already.
    let _ = Command::new("umount").arg("--lazy").arg(folder).output();
}

fn hold(_: &Path, file: &Path) {
    output(Command::new("chattr").arg("+i").arg(file));
}

/// Runs a suite, with trouble in the folder when a file comes whose name contains `part`, or before.
fn troubled(place: &Place, suite: &str, small: &Small, part: Option<&str>, trouble: Trouble) -> Ended {
    let Some(part) = part else {
        trouble(&small.0, &small.0);
        return start(place, suite, &[]).end(LIMIT);
    };
    let program = start(place, suite, &[]);
    let is_its = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("e2e-") && name.contains(part)
    };
    let file = speed::wait_for("a file of the run", Duration::from_secs(30), Duration::from_millis(2), || {
        fs::read_dir(&small.0).unwrap().map(|entry| entry.unwrap().path()).find(is_its)
    });
    trouble(&small.0, &file);
    program.end(LIMIT)
}

/// Whether only tests of the server do not pass, of which this is one, and the output has these words, or others behind a
/// `|`; whatever is left is named.
fn judge(ended: &Ended, left: &[String], (name, outcome): (&str, &str), words: &[&str]) {
    let (suite, _) = name.split_once("::").unwrap();
    let wrong = ended.results.iter().filter(|(_, (outcome, _))| ["FAIL", "ERROR"].contains(outcome));
    let wrong: Vec<_> = wrong.map(|(name, (outcome, _))| (name.as_str(), *outcome)).collect();
    let told = || format!("{wrong:?} {left:?}\n{}", ended.all());
    assert!(ended.missing(&[suite]).is_empty(), "{}", told());
    assert!(wrong.iter().all(|(name, _)| name.ends_with(SERVER) || !name.contains("nas-")), "{}", told());
    assert!(wrong.contains(&(&format!("{name}::{SERVER}"), outcome)), "{name}: {}", told());
    for word in words {
        assert!(word.split('|').any(|word| ended.all().contains(word)), "{word}: {}", told());
    }
    assert_eq!(ended.untold(left), Vec::<String>::new(), "{}", told());
}

pub fn a_folder_that_is_full_or_read_only_and_a_file_that_cannot_be_touched_are_named() {
    let no_space = "No space left on device";
    for (part, trouble, test, outcome, words) in [
        (None, fill as Trouble, "phase2::host-mount", "FAIL", [no_space, "full or read-only"]),
        (None, fill, "phase3::latency", "ERROR", [no_space, "full or read-only"]),
        (Some("multi-write"), fill, "phase3::multi-write", "FAIL", [no_space, no_space]),
        (Some("multi-write"), make_read_only, "phase3::multi-write", "FAIL", ["Read-only file system", "left behind"]),
        (Some("mount"), hold, "phase3::latency", "ERROR", ["Operation not permitted", "left behind"]),
    ] {
        let simulated = Simulated::named(HEALTHY);
        let small = Small::mount(&simulated.data().join(SERVER));
        let (suite, _) = test.split_once("::").unwrap();
        let ended = troubled(&simulated.place(), suite, &small, part, trouble);
        judge(&ended, &simulated.left(), (test, outcome), &words);
    }
}

pub fn a_real_folder_that_fills_turns_read_only_or_vanishes_is_named() {
    let lab = Lab::find();
    let all: Vec<(&str, Trouble, [&str; 2])> = vec![
        ("full", fill, ["No space left on device", "make room"]),
        ("read-only", make_read_only, ["Read-only file system", "left behind"]),
        // It depends on the moment whether a file had arrived.
        ("gone", unmount, ["the two are not one folder|no file of that name"; 2]),
    ];
    for (_, trouble, words) in share::deal("folders", all, |(name, ..)| (*name).to_owned()) {
        let small = Small::mount(&lab.folder.join(SERVER));
        lab.replace(SERVER);
        // The first of its files: those of its second cycle are still to come, whichever moment this is.
        let ended = troubled(&lab.place(), "phase3", &small, Some("multi-write"), trouble);
        let left = lab.leftovers(ended.run());
        drop(small);
        lab.replace(SERVER);
        judge(&ended, &left, ("phase3::multi-write", "FAIL"), &words);
    }
}
