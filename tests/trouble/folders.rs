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

use super::program::{start, wait_for};

const SERVER: &str = "nas-output-1";

/// A file system of its own in the place of a folder; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Self {
        // With room for all files of a healthy run.
        output(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "tmpfs"]).arg(folder));
        Self(folder.to_owned())
    }

    /// Leaves no room in it.
    fn fill(&self) {
        let full = fs::write(self.0.join("full"), vec![0; 16 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        // Nor for a name: a large file that gets smaller would make room for others.
        let full = (0..).find_map(|name| fs::write(self.0.join(format!("full-{name}")), "").err()).unwrap();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_read_only(&self) {
        // Not as long as a file is being written.
        let mut remount = Command::new("mount");
        remount.args(["-o", "remount,ro"]).arg(&self.0);
        wait_for("nobody to write", || remount.output().unwrap().status.success());
    }

    fn unmount(&self) {
        // It may be done already.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn first(folder: &Path, part: &str) -> PathBuf {
    let is_its = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("e2e-") && name.contains(part)
    };
    speed::wait_for("a file of the run", Duration::from_secs(30), Duration::from_millis(2), || {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(is_its)
    })
}

/// Runs a suite, with trouble in the folder when a file comes whose name contains `part`, or before.
fn run(suite: &str, part: Option<&str>, trouble: impl FnOnce(&Small, &Path)) -> (Ended, Vec<String>) {
    let simulated = Simulated::named(HEALTHY);
    let small = Small::mount(&simulated.data().join(SERVER));
    let ended = troubled(&simulated.place(), suite, &small, part, trouble);
    let left = simulated.files("e2e-");
    (ended, left.iter().map(|path| path.display().to_string()).collect())
}

fn troubled(
    place: &Place,
    suite: &str,
    small: &Small,
    part: Option<&str>,
    trouble: impl FnOnce(&Small, &Path),
) -> Ended {
    let Some(part) = part else {
        trouble(small, &small.0);
        return start(place, suite, &[]).end(LIMIT);
    };
    let program = start(place, suite, &[]);
    trouble(small, &first(&small.0, part));
    program.end(LIMIT)
}

/// A small file system that the server's pod on the real cluster mounts; its folder again when dropped.
struct Mounted<'a> {
    lab: &'a Lab,
    small: Small,
}

impl<'a> Mounted<'a> {
    fn new(lab: &'a Lab) -> Self {
        let small = Small::mount(&lab.folder.join(SERVER));
        lab.replace(SERVER);
        Self { lab, small }
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        self.small.unmount();
        self.lab.replace(SERVER);
    }
}

/// Whether only tests of the server do not pass, of which these are some, and the output has these words, or others behind a
/// `|`; whatever is left is named.
fn judge((ended, left): (Ended, Vec<String>), some: &[(&str, &str)], words: &[&str]) {
    let wrong = ended.results.iter().filter(|(_, (outcome, _))| ["FAIL", "ERROR"].contains(outcome));
    let wrong: Vec<_> = wrong.map(|(name, (outcome, _))| (name.as_str(), *outcome)).collect();
    let told = || format!("{wrong:?} {left:?}\n{}", ended.all());
    assert!(ended.missing().is_empty(), "{}", told());
    assert!(wrong.iter().all(|(name, _)| name.ends_with(SERVER) || !name.contains("nas-")), "{}", told());
    for (name, outcome) in some {
        assert!(wrong.contains(&(&format!("{name}::{SERVER}"), outcome)), "{name}: {}", told());
    }
    for word in words {
        assert!(word.split('|').any(|word| ended.all().contains(word)), "{word}: {}", told());
    }
    assert_eq!(ended.untold(&left), Vec::<String>::new(), "{}", told());
}

pub fn a_full_folder_is_named() {
    let words = ["No space left on device", "full or read-only"];
    judge(run("phase2", None, |small, _| small.fill()), &[("phase2::host-mount", "FAIL")], &words);
    judge(run("phase3", None, |small, _| small.fill()), &[("phase3::latency", "ERROR")], &words);
    judge(
        run("phase3", Some("multi-write"), |small, _| small.fill()),
        &[("phase3::multi-write", "ERROR")],
        &words[..1],
    );
}

pub fn a_folder_that_turns_read_only_is_named() {
    let ran = run("phase3", Some("multi-write"), |small, _| small.make_read_only());
    judge(ran, &[("phase3::multi-write", "ERROR")], &["Read-only file system", "left behind"]);
}

pub fn a_file_that_cannot_be_touched_is_named() {
    let hold = |_: &Small, path: &Path| drop(output(Command::new("chattr").arg("+i").arg(path)));
    let ran = run("phase3", Some("mount"), hold);
    judge(ran, &[("phase3::latency", "ERROR")], &["Operation not permitted", "left behind"]);
}

pub fn a_real_folder_that_fills_turns_read_only_or_vanishes_is_named() {
    type Trouble = (&'static str, fn(&Small), &'static str, [&'static str; 2]);
    let lab = Lab::find();
    let all: Vec<Trouble> = vec![
        ("full", Small::fill, "ERROR", ["No space left on device", "make room"]),
        ("read-only", Small::make_read_only, "ERROR", ["Read-only file system", "left behind"]),
        // It depends on the moment whether a file had arrived.
        ("gone", Small::unmount, "FAIL", ["the two are not one folder|no file of that name"; 2]),
    ];
    for (_, trouble, outcome, words) in share::deal("folders", all, |(name, ..)| (*name).to_owned()) {
        // The first of its files: those of its second cycle are still to come, whichever moment this is.
        let mounted = Mounted::new(&lab);
        let ended = troubled(&lab.place(), "phase3", &mounted.small, Some("multi-write"), |small, _| trouble(small));
        let left = lab.leftovers(ended.run());
        drop(mounted);
        judge((ended, left), &[("phase3::multi-write", outcome)], &words);
    }
}
