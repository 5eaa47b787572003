//! `sweep` lists and removes leftover files of killed runs, and nothing else.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use file_simulator_e2e::cluster::{self, Operation, ResourceExt, Wanted};
use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::simulated::Simulated;
use crate::support::speed;
use crate::support::workspace::RunResult;

/// Leftover files of a killed run, and other files with similar names.
const LEFT: &str = "e2e-0a1b2c3d-phase3-latency-nas-output-1-sync.txt";
const OF_RSYNC: &str = ".e2e-0a1b2c3d-phase3-latency-nas-output-1-sync.txt.Ab12Cd";
const OTHERS: [&str; 3] =
    ["e2e-20261121-report.txt", "e2e-0a1b2c3d-nas-output-1-x.txt", "my-e2e-0a1b2c3d-a-b-nas-output-1-c"];

impl Simulated {
    /// Writes files to the export of nas-output-1.
    fn write(&self, names: &[&str]) {
        let write = |name: &&str| Operation::Write { path: format!("/data/{name}"), content: "left".to_owned() };
        let writes: Vec<_> = names.iter().map(write).collect();
        self.runtime.block_on(async {
            let cluster = cluster::connect(self.target()).await.unwrap();
            let watch = cluster.watch(Wanted::default(), false).await.unwrap();
            let pods = watch.snapshot().unwrap().pods;
            let pod = pods.iter().map(|pod| pod.name_any()).find(|name| name.contains("nas-output-1")).unwrap();
            let done = cluster.exec(&pod, "nfs-server", &writes).await.unwrap();
            assert!(done.iter().all(|done| done.problem().is_none()));
        });
    }

    /// Waits until this many copies of a file exist.
    fn until(&self, name: &str, copies: usize) -> Vec<PathBuf> {
        speed::wait_for(name, Duration::from_secs(60), Duration::from_millis(50), || {
            Some(self.files(name)).filter(|found| found.len() == copies)
        })
    }

    fn sweep(&self, arguments: &[&str], code: i32, words: &[&str]) -> RunResult {
        self.workspace().expect(&[&["sweep"], arguments].concat(), code, words)
    }
}

#[test]
fn only_leftover_files_of_finished_runs_are_removed() {
    let simulated = Simulated::named(HEALTHY);
    simulated.write(&[&[LEFT], &OTHERS[..]].concat());
    // As if the sidecar had been killed while copying.
    std::fs::write(simulated.data().join("nas-output-1").join(OF_RSYNC), "le").unwrap();
    let left = [simulated.until(LEFT, 2), simulated.until(OF_RSYNC, 1)].concat();
    let others: Vec<_> = OTHERS.iter().flat_map(|name| simulated.until(name, 2)).collect();
    simulated.sweep(&["--yes"], 0, &["kept 3 files of e2e-0a1b2c3d"]);
    let old = SystemTime::now() - Duration::from_secs(3630);
    for path in &left {
        File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
    }
    let lines = [
        format!("/data/{LEFT} in container nfs-server of nas-output-1: 4 KiB, 1h old"),
        format!("{LEFT} in the host folder of nas-output-1: 1 KiB, 1h old"),
        format!("{OF_RSYNC} in the host folder of nas-output-1: 1 KiB, 1h old"),
        "3 leftover files; remove with --yes".to_owned(),
    ];
    simulated.sweep(&[], 0, &lines.each_ref().map(String::as_str));
    simulated.until(LEFT, 2);
    let removed = simulated.sweep(&["--yes"], 0, &[]);
    assert!(removed.out.ends_with("removed 3 of 3 leftover files\n"), "{}", removed.out);
    simulated.until(LEFT, 0);
    simulated.until(OF_RSYNC, 0);
    assert!(others.iter().all(|path| path.is_file()));
    simulated.sweep(&[], 0, &["no leftover files"]);
}

#[test]
fn unreadable_folders_are_reported() {
    Simulated::named("exec-forbidden").sweep(&["--yes"], 3, &["no permission to get pods/exec"]);
    let cut = Simulated::named("exec-cut");
    let file = cut.data().join("nas-output-1").join(LEFT);
    std::fs::write(&file, "left").unwrap();
    cut.sweep(&["--yes", "--older-than", "0s"], 3, &["cannot list /data in pod"]);
    assert!(file.is_file(), "the sidecar would copy it again");
}
