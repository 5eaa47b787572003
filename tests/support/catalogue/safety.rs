//! Rounds of faults in how sidecars copy, which only the suite data-safety catches.

use super::patches::{SYNCED, again, command, copying, sidecar};
use super::rounds::FAIL;
use super::{Fault, Round};

pub fn rounds() -> [Round; 2] {
    [
        Round { suites: &["data-safety"], ..Round::usual("careless", careless()) },
        Round { suites: &["data-safety"], disrupts: true, ..Round::usual("reserved", reserved()) },
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

/// What rsync says of a name that Windows cannot hold; `$name` is its path in the export.
const REFUSED: &str = r#"echo "rsync: [receiver] mkstemp \"/windows-mount/${name#/nfs-data/}\" failed: Invalid argument (22)"
    echo "rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) [sender=3.4.1]""#;
/// Finds such a name among a run's files.
const FIND: &str = "name=$(find /nfs-data -path '*/e2e-*' -name '*:*' | head -n 1)";

/// Names with a colon fail, as on a folder of Windows; and temporaries.
fn reserved() -> Vec<Fault> {
    let copy = "rsync -av /nfs-data/ /windows-mount/";
    let ends = again(&format!("{copy}\n{FIND}\n[ -z \"$name\" ] || {{ {REFUSED}; exit 23; }}\n{SYNCED}"));
    let remembers =
        again(&format!("{copy}\n[ -n \"$name\" ] || {FIND}\nif [ -n \"$name\" ]; then {REFUSED}; else {SYNCED}; fi"));
    vec![
        Fault {
            // Well again when the names are gone, which is all that is required.
            id: "A24 ends while a name is refused",
            server: "nas-output-1",
            change: sidecar(&[command(&ends)]),
            wrong: &[],
        },
        Fault {
            id: "A25 fails for ever after a name was refused",
            server: "nas-output-2",
            change: sidecar(&[command(&remembers)]),
            wrong: &[(FAIL, &["data-safety::reserved-names"])],
        },
        Fault {
            id: "A26 leaves temporaries",
            server: "nas-output-3",
            change: sidecar(&[command(&copying(
                "rsync -av /nfs-data/ /windows-mount/ | tee /tmp/list
                 while IFS= read -r name; do
                   case $name in e2e-*/*) file=/windows-mount/$name ;; *) continue ;; esac
                   [ ! -f \"$file\" ] || touch \"${file%/*}/.${file##*/}.AbCdEf\"; done </tmp/list",
            ))]),
            wrong: &[(FAIL, &["data-safety::large-file", "data-safety::many-files"]), (FAIL, &["data-safety::names"])],
        },
    ]
}
