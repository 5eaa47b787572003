//! Exit codes, messages and reports when something goes wrong before the first test.

use serde_json::{Value, json};

use crate::support::root;
use crate::support::simulated::Simulated;
use crate::support::stub_server::serve;
use crate::support::workspace::{RunResult, Workspace};

/// Checks that the reports contain this many tests, all of them ERROR.
fn red(ended: &RunResult, tests: usize) {
    assert_eq!((ended.results.len(), ended.with("ERROR").len()), (tests, tests), "{}", ended.all());
}

#[test]
fn the_list_needs_no_cluster_and_has_the_format_of_libtest() {
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
        let list = Workspace::new().expect(&[&["--list"], arguments].concat(), 0, &[]);
        assert_eq!(list.out.split_terminator(": test\n").collect::<Vec<_>>(), tests);
    }
}

#[test]
fn an_invalid_command_line_or_values_file_is_a_usage_error() {
    let workspace = Workspace::new();
    std::fs::write(workspace.path("values.yaml"), "global: {}").unwrap();
    for (arguments, words) in [
        (&["--contxt", "x"][..], &["--context"][..]),
        (&["--suite", "phase33"], &["did you mean `phase3`?", "phase2, phase3"]),
        (&["doctor", "--suite", "phase33"], &["did you mean `phase3`?"]),
        (&["--suite", "phase2", "--suite", "phase2"], &["two suites are named `phase2`"]),
        (&["repaly", "run.json.gz"], &["no subcommand `repaly`", "did you mean `replay`?"]),
        (&["lint", "mine.yaml"], &["no subcommand `lint`", "--list --suite FILE"]),
        (&["docter"], &["did you mean `doctor`?"]),
        (&["--logfile", "x"], &["--logfile"]),
        (&["doctor", "--node-address", "127.0.0.1"], &["--node-address"]),
        (&["sweep", "--values", "values.yaml"], &["--values"]),
        (&["--test-threads", "0"], &["--test-threads"]),
        (&["--timeout", "5"], &["90s or 5m"]),
        (&["--timeout", "9999999999h"], &["at most 1000h"]),
        (&["sweep", "--older-than", "9999999999h"], &["at most 1000h"]),
        (&["--values", "missing.yaml"], &["missing.yaml", "give the path of a Helm values file"]),
        (&["--values", "values.yaml"], &["no `nasServers` with names"]),
        (&["--simulate=nfs-files-stray"], &["did you mean `nfs-files-stay`?"]),
        (&["--simulate", "--context", "mine"], &["--simulate", "--context"]),
        (&["--simulate", "--host-data", "."], &["--simulate", "--host-data"]),
        (&["explain", "file-synk"], &["'file-sync'"]),
    ] {
        let ended = workspace.expect(arguments, 2, words);
        assert!(ended.err.contains(words[0]), "{}", ended.all());
    }
}

#[test]
fn a_run_that_cannot_start_or_report_fails_and_replaces_the_old_report() {
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.path("reports")).unwrap();
    std::fs::write(workspace.path("reports/phase3.xml"), "<testsuites/>").unwrap();
    red(&workspace.expect(&["--suite", "phase3", "latncy"], 4, &["`latncy`", "--list"]), 1);
    let workspace = Workspace::new();
    red(&workspace.expect(&["--suite", "mine.yaml"], 2, &["cannot read the suite file mine.yaml"]), 1);
    let workspace = Workspace::new();
    let broken = root("fixtures/suites/broken/unknown-check.yaml");
    let words = ["unknown-check.yaml:8:7: unknown check `podz`"];
    red(&workspace.expect(&["--suite", broken.to_str().unwrap()], 2, &words), 1);
    let workspace = Workspace::new();
    std::fs::write(workspace.path("reports"), "a file").unwrap();
    workspace.expect(&[], 3, &["cannot write"]);
}

#[test]
fn an_unusable_cluster_makes_every_test_an_error_and_doctor_agrees() {
    let at = |address: &str| {
        let workspace = Workspace::new();
        workspace.connect(address);
        (None, workspace)
    };
    let simulated = |faults: &[Value]| {
        let simulated = Simulated::with(faults);
        let workspace = simulated.workspace();
        (Some(simulated), workspace)
    };
    let nobody = || at("127.0.0.1:1");
    let misspelled = ["did you mean `file-simulator`?", "available contexts: file-simulator"];
    let silent = serve(|stream| std::io::copy(stream, &mut std::io::sink()).map(drop));
    let no_namespaces = json!({"api": {"verbs": ["get"], "resources": ["namespaces"], "gets": {"status": 403}}});
    let unauthorized = json!({"api": {"gets": {"status": 401}}});
    let rows = [
        ((None, Workspace::new()), &[][..], &["no kubeconfig found", "--kubeconfig"][..], "FAIL  kubeconfig"),
        (nobody(), &["--context", "file-simulater"], &misspelled, "FAIL  kubeconfig"),
        (nobody(), &["--host-data", "nowhere"], &["nowhere is not a folder", "--host-data"], "FAIL  folder"),
        (nobody(), &[], &["http://127.0.0.1:1", "refused"], "FAIL  cluster"),
        (at("no-such-name.invalid:1"), &[], &["no-such-name.invalid"], "FAIL  cluster"),
        (at(&silent), &[], &["get /version failed: no reply within 10 s"], "FAIL  cluster"),
        (simulated(&[unauthorized]), &[], &["401", "get /version", "log in"], "FAIL  cluster"),
        (simulated(&[]), &["--namespace", "x"], &["has no namespace `x`", "--namespace"], "FAIL  namespace"),
        (
            simulated(&[no_namespaces]),
            &["--namespace", "x"],
            &["has no pod and no Deployment of release `file-sim`", "helm upgrade --install"],
            "FAIL  release",
        ),
    ];
    std::thread::scope(|scope| {
        for ((simulated, workspace), arguments, words, line) in rows {
            scope.spawn(move || {
                let doctor = workspace.expect(&[&["doctor"], arguments].concat(), 3, &[words, &[line]].concat());
                assert!(!workspace.path("reports").exists() && doctor.out.lines().count() < 20, "{}", doctor.out);
                let run = workspace.expect(&[&["--suite", "smoke"], arguments].concat(), 3, words);
                red(&run, workspace.listed(&["--suite", "smoke"]).len());
                drop(simulated);
            });
        }
    });
}
