//! The program from outside: exit codes, messages and reports for everything that goes wrong before the first test.

use crate::support::canned::{VERSION, answering, silent};
use crate::support::place::{Ended, Place, tests};
use crate::support::root;

const UNAUTHORIZED: &str =
    r#"{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
const NOT_FOUND: &str = r#"{"kind":"Status","status":"Failure","message":"not found","reason":"NotFound","code":404}"#;
const EMPTY: &str = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
const NAMESPACE: &str = r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"file-simulator"}}"#;

/// Holds the reports to be of so many tests, each of which is an error.
fn red(ended: &Ended, tests: usize) {
    assert_eq!((ended.results.len(), ended.with("ERROR").len()), (tests, tests), "{}", ended.all());
}

#[test]
fn the_list_needs_no_cluster_and_is_what_libtest_prints() {
    for (arguments, tests) in [
        (
            &["--suite", "phase3", "--simulate", "latency"][..],
            &["phase3::latency::nas-output-1", "phase3::latency::nas-output-2", "phase3::latency::nas-output-3"][..],
        ),
        (&["--exact", "phase2::cluster"], &["phase2::cluster"]),
        (
            &["--suite", "phase2", "--skip", "nas-"],
            &["phase2::cluster", "phase2::release", "phase2::pods-count", "phase2::unique"],
        ),
    ] {
        let list = Place::new().says(&[&["--list"], arguments].concat(), 0, &[]);
        assert_eq!(list.out.split_terminator(": test\n").collect::<Vec<_>>(), tests);
    }
}

#[test]
fn a_wrong_command_line_or_values_file_is_a_usage_error() {
    let place = Place::new();
    std::fs::write(place.path("values.yaml"), "global: {}").unwrap();
    for (arguments, words) in [
        (&["--contxt", "x"][..], &["--context"][..]),
        (&["--suite", "phase33"], &["did you mean `phase3`?", "phase2, phase3"]),
        (&["doctor", "--suite", "phase33"], &["did you mean `phase3`?"]),
        (&["--suite", "phase2", "--suite", "phase2"], &["two suites are called `phase2`"]),
        (&["repaly", "run.json.gz"], &["no subcommand `repaly`", "did you mean `replay`?"]),
        (&["lint", "mine.yaml"], &["no subcommand `lint`", "--list --suite FILE"]),
        (&["docter"], &["did you mean `doctor`?"]),
        (&["--logfile", "x"], &["--logfile"]),
        (&["doctor", "--node-address", "127.0.0.1"], &["--node-address"]),
        (&["--test-threads", "0"], &["--test-threads"]),
        (&["--timeout", "5"], &["90s or 5m"]),
        (&["--timeout", "9999999999h"], &["it is at most 1000h"]),
        (&["sweep", "--older-than", "9999999999h"], &["it is at most 1000h"]),
        (&["--values", "missing.yaml"], &["missing.yaml", "give the path of a Helm values file"]),
        (&["--values", "values.yaml"], &["no `nasServers` with names"]),
        (&["--simulate=nfs-files-stray"], &["did you mean `nfs-files-stay`?"]),
        (&["--simulate", "--context", "mine"], &["--simulate", "--context"]),
        (&["--simulate", "--host-data", "."], &["--simulate", "--host-data"]),
        (&["explain", "file-synk"], &["'file-sync'"]),
    ] {
        let ended = place.says(arguments, 2, words);
        assert!(ended.err.contains(words[0]), "{}", ended.all());
    }
}

#[test]
fn what_cannot_be_run_or_told_is_no_success_and_replaces_the_old_report() {
    let place = Place::new();
    std::fs::create_dir(place.path("reports")).unwrap();
    std::fs::write(place.path("reports/phase3.xml"), "<testsuites/>").unwrap();
    red(&place.says(&["--suite", "phase3", "latncy"], 4, &["`latncy`", "--list"]), 1);
    let place = Place::new();
    red(&place.says(&["--suite", "mine.yaml"], 2, &["cannot read the suite file mine.yaml"]), 1);
    let place = Place::new();
    let broken = root("fixtures/suites/broken/unknown-check.yaml");
    let words = ["unknown-check.yaml:12:7: unknown check `podz`"];
    red(&place.says(&["--suite", broken.to_str().unwrap()], 2, &words), 1);
    let place = Place::new();
    std::fs::write(place.path("reports"), "a file").unwrap();
    place.says(&[], 3, &["cannot write"]);
}

#[test]
fn a_cluster_that_cannot_be_used_makes_every_test_an_error_and_doctor_says_the_same() {
    let version_and = |answer: fn(&str) -> (u16, &'static str)| {
        answering(move |path| if path == "/version" { (200, VERSION) } else { answer(path) })
    };
    let nobody = || "127.0.0.1:1".to_owned();
    let rows = [
        (None, &[][..], &["cannot read the kubeconfig", "--kubeconfig"][..], "FAIL  kubeconfig"),
        (
            Some(nobody()),
            &["--context", "file-simulater"],
            &["did you mean `file-simulator`?", "it has: file-simulator"],
            "FAIL  kubeconfig",
        ),
        (Some(nobody()), &["--host-data", "nowhere"], &["nowhere is not a folder", "--host-data"], "FAIL  folder"),
        (Some(nobody()), &[], &["http://127.0.0.1:1", "refused"], "FAIL  cluster"),
        (Some("no-such-name.invalid:1".to_owned()), &[], &["no-such-name.invalid"], "FAIL  cluster"),
        (Some(silent()), &[], &["no answer to get /version within 10s"], "FAIL  cluster"),
        (Some(answering(|_| (401, UNAUTHORIZED))), &[], &["401", "get /version", "log in"], "FAIL  cluster"),
        (
            Some(version_and(|path| if path.ends_with("/file-simulator") { (404, NOT_FOUND) } else { (200, EMPTY) })),
            &[],
            &["has no namespace `file-simulator`", "--namespace"],
            "FAIL  namespace",
        ),
        (
            Some(version_and(|path| match path {
                path if path.ends_with("/file-simulator") => (200, NAMESPACE),
                // Nothing ever happens there.
                path if path.contains("watch=true") => (200, ""),
                _ => (200, EMPTY),
            })),
            &[],
            &["has nothing of the release `file-sim`", "helm upgrade --install"],
            "FAIL  release",
        ),
    ];
    std::thread::scope(|scope| {
        for (address, arguments, words, line) in rows {
            scope.spawn(move || {
                let place = Place::new();
                if let Some(address) = address {
                    place.connect(&address);
                }
                let doctor = place.says(&[&["doctor"], arguments].concat(), 3, &[words, &[line]].concat());
                assert!(!place.path("reports").exists() && doctor.out.lines().count() < 20, "{}", doctor.out);
                let run = place.says(&[&["--suite", "smoke"], arguments].concat(), 3, words);
                red(&run, tests(&["smoke"]).len());
            });
        }
    });
}
