//! Rounds of faults in how sidecars copy, which only the suite data-safety catches.

use super::patches::{command, copying, sidecar};
use super::rounds::FAIL;
use super::{Fault, Round};

pub fn rounds() -> [Round; 2] {
    [
        Round { suites: &["data-safety"], ..Round::usual("careless", careless()) },
        Round { suites: &["data-safety"], ..Round::usual("temporaries", temporaries()) },
    ]
}

/// Files arrive, and are not as they should be.
fn careless() -> Vec<Fault> {
    vec![
        Fault {
            id: "A21 never replaces a file",
            server: "nas-output-1",
            change: sidecar(&[command(&copying("rsync -av --ignore-existing /nfs-data/ /windows-mount/"))]),
            wrong: &[(FAIL, &["data-safety::newer-wins", "data-safety::large-file"])],
        },
        Fault {
            id: "A22 writes some files in place",
            server: "nas-output-2",
            change: sidecar(&[command(&copying(
                "rsync -av --exclude='*.bin' /nfs-data/ /windows-mount/
                 cd /nfs-data && find . -name '*.bin' | while IFS= read -r file; do
                   cmp -s \"$file\" \"/windows-mount/$file\" || cp -p \"$file\" \"/windows-mount/$file\"; done",
            ))]),
            wrong: &[(FAIL, &["data-safety::large-file"])],
        },
        Fault {
            id: "A23 gives files the time of the copy",
            server: "nas-output-3",
            change: sidecar(&[command(&copying("rsync -rv /nfs-data/ /windows-mount/"))]),
            wrong: &[(FAIL, &["data-safety::many-files"])],
        },
    ]
}

fn temporaries() -> Vec<Fault> {
    vec![Fault {
        id: "A26 leaves temporaries",
        server: "nas-output-3",
        change: sidecar(&[command(&copying(
            "rsync -av /nfs-data/ /windows-mount/ | tee /tmp/list
                 while IFS= read -r name; do
                   case $name in e2e-*/*) file=/windows-mount/$name ;; *) continue ;; esac
                   [ ! -f \"$file\" ] || touch \"${file%/*}/.${file##*/}.AbCdEf\"; done </tmp/list",
        ))]),
        wrong: &[(FAIL, &["data-safety::large-file", "data-safety::many-files"]), (FAIL, &["data-safety::names"])],
    }]
}
