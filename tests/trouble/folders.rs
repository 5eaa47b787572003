//! One server's host folder is full, read-only, gone, or contains an immutable file: this server's tests report it, tests of
//! other servers pass, and the run names the files that it cannot remove.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::simulated::Simulated;
use crate::support::test_cluster::{TestCluster, output};
use crate::support::workspace::{LIMIT, RunResult, Workspace};
use crate::support::{share, speed};

use super::program::{start, wait_for};

const SERVER: &str = "nas-output-1";
/// Part of the name of the first file that `multi-write` writes.
const WRITTEN: &str = "multi-write-nas-output-1-0";

/// A small file system mounted over a folder; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(folder: &Path) -> Self {
        // Large enough for all files of a healthy run.
        output(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "tmpfs"]).arg(folder));
        Self(folder.to_owned())
    }

    fn fill(&self) {
        let full = fs::write(self.0.join("full"), vec![0; 16 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        // No inodes either: truncating a file would make room for others.
        let full = (0..).find_map(|name| fs::write(self.0.join(format!("full-{name}")), "").err()).unwrap();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    fn make_read_only(&self) {
        // Fails while a file is open for writing.
        let mut remount = Command::new("mount");
        remount.args(["-o", "remount,ro"]).arg(&self.0);
        wait_for("a read-only file system", || remount.output().unwrap().status.success());
    }

    fn unmount(&self) {
        // May be unmounted already.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn first(folder: &Path, part: &str) -> PathBuf {
    let matches = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("e2e-") && name.contains(part)
    };
    speed::wait_for("a file of the run", Duration::from_secs(30), Duration::from_millis(2), || {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find(matches)
    })
}

/// Breaks the folder, or the run's file in it.
type Trouble = fn(&Small, &Path);

/// Runs one test (others would remove files and make room), and breaks the folder when the first file arrives whose name contains
/// `part`; without `part`, before the run.
fn run_with(workspace: &Workspace, test: &str, small: &Small, part: Option<&str>, trouble: Trouble) -> RunResult {
    let (suite, check) = test.split_once("::").unwrap();
    let Some(part) = part else {
        trouble(small, &small.0);
        return start(workspace, suite, &[check]).end(LIMIT);
    };
    let program = start(workspace, suite, &[check]);
    trouble(small, &first(&small.0, part));
    program.end(LIMIT)
}

/// A small file system in place of the server's host folder on the real cluster; restored when dropped.
struct Mounted<'a> {
    cluster: &'a TestCluster,
    small: Small,
}

impl<'a> Mounted<'a> {
    fn new(cluster: &'a TestCluster) -> Self {
        let small = Small::mount(&cluster.folder.join(SERVER));
        cluster.replace(SERVER);
        Self { cluster, small }
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        self.small.unmount();
        self.cluster.replace(SERVER);
    }
}

/// Checks the test's outcome, that all tests of other servers pass, and that the output contains these phrases (`|` separates
/// alternatives) and all leftover files.
fn judge(ended: &RunResult, left: &[String], (name, outcome): (&str, &str), words: &[&str]) {
    let wrong = ended.results.iter().filter(|(_, (outcome, _))| ["FAIL", "ERROR"].contains(outcome));
    let wrong: Vec<_> = wrong.map(|(name, (outcome, _))| (name.as_str(), *outcome)).collect();
    let context = || format!("{wrong:?} {left:?}\n{}", ended.all());
    assert!(ended.missing().is_empty(), "{}", context());
    assert!(wrong.iter().all(|(name, _)| name.ends_with(SERVER) || !name.contains("nas-")), "{}", context());
    assert!(wrong.contains(&(&format!("{name}::{SERVER}"), outcome)), "{name}: {}", context());
    for word in words {
        assert!(word.split('|').any(|word| ended.all().contains(word)), "{word}: {}", context());
    }
    assert_eq!(ended.unnamed(left), Vec::<String>::new(), "{}", context());
}

pub fn full_and_read_only_folders_and_immutable_files_are_reported() {
    let fill: Trouble = |small, _| small.fill();
    let make_read_only: Trouble = |small, _| small.make_read_only();
    let hold: Trouble = |_, path| drop(output(Command::new("chattr").arg("+i").arg(path)));
    let no_space = "No space left on device";
    for (part, trouble, test, outcome, words) in [
        (None, fill, "phase2::host-mount", "FAIL", [no_space, "full or read-only"]),
        (None, fill, "phase3::latency", "ERROR", [no_space, "full or read-only"]),
        (Some(WRITTEN), fill, "phase3::multi-write", "FAIL", [no_space, no_space]),
        (Some(WRITTEN), make_read_only, "phase3::multi-write", "FAIL", ["Read-only file system", "left behind"]),
        (Some("mount"), hold, "phase3::latency", "ERROR", ["Operation not permitted", "left behind"]),
    ] {
        let simulated = Simulated::named(HEALTHY);
        let small = Small::mount(&simulated.data().join(SERVER));
        let ended = run_with(&simulated.workspace(), test, &small, part, trouble);
        judge(&ended, &simulated.leftovers(), (test, outcome), &words);
    }
}

pub fn a_real_folder_that_fills_turns_read_only_or_vanishes_is_reported() {
    let cluster = TestCluster::find();
    let all: Vec<(&str, Trouble, &str, [&str; 2])> = vec![
        ("full", |small, _| small.fill(), "FAIL", ["No space left on device", "free space in"]),
        ("read-only", |small, _| small.make_read_only(), "FAIL", ["Read-only file system", "left behind"]),
        // Timing decides whether a file had arrived before.
        ("gone", |small, _| small.unmount(), "FAIL", ["a different folder|no such file"; 2]),
    ];
    for (_, trouble, outcome, words) in share::deal("folders", all, |(name, ..)| (*name).to_owned()) {
        let mounted = Mounted::new(&cluster);
        // At the first file: those of the second cycle are still missing.
        let ended = run_with(&cluster.workspace(), "phase3::multi-write", &mounted.small, Some(WRITTEN), trouble);
        let left = cluster.leftovers(ended.run_name());
        drop(mounted);
        judge(&ended, &left, ("phase3::multi-write", outcome), &words);
    }
}
