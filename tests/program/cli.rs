//! The program from outside: exit codes, messages and reports for everything that goes wrong before the first test.

use crate::support::canned::{VERSION, answering, silent};
use crate::support::junit;
use crate::support::place::Place;

/// Runs and asserts the exit code and what standard error contains.
fn refused(place: &Place, arguments: &[&str], code: i32, words: &[&str]) {
    let ended = place.run(arguments);
    assert_eq!(ended.code, code, "{arguments:?}: {}", ended.err);
    for word in words {
        assert!(ended.err.contains(word), "{arguments:?}: no `{word}` in: {}", ended.err);
    }
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

/// Whether each test of the suite's report is an error, and how many there are.
fn red(place: &Place, suite: &str) -> usize {
    let results = junit::results(&place.junit(suite));
    assert!(results.values().all(|(outcome, _)| *outcome == "ERROR"), "{results:?}");
    results.len()
}

/// How many tests a built-in suite has.
fn tests(suite: &str) -> usize {
    Place::new().listed(&["--suite", suite]).len()
}

#[test]
fn help_and_version_are_the_programs_own() {
    let help = Place::new().run(&["--help"]);
    assert_eq!(help.code, 0);
    assert!(help.out.starts_with("file-simulator-e2e ") && help.out.contains("Exit codes:"), "{}", help.out);
    assert!(!help.out.contains("libtest"), "{}", help.out);
    let version = Place::new().run(&["--version"]);
    assert_eq!(version.out.trim(), concat!("file-simulator-e2e ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_list_needs_no_cluster_and_is_what_libtest_prints() {
    let list = Place::new().run(&["--list", "--suite", "phase3", "latency"]);
    let expected = ["1", "2", "3"].map(|n| format!("phase3::latency::nas-output-{n}: test\n")).concat();
    assert_eq!((list.code, list.out), (0, expected));
    let exact = Place::new().run(&["--list", "--exact", "phase2::cluster"]);
    assert_eq!(exact.out, "phase2::cluster: test\n");
    let skipped = Place::new().run(&["--list", "--suite", "phase2", "--skip", "nas-"]);
    let whole = ["cluster", "release", "pods-count", "unique"].map(|slug| format!("phase2::{slug}: test\n")).concat();
    assert_eq!(skipped.out, whole);
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let place = Place::new();
    refused(&place, &["--contxt", "x"], 2, &["--context"]);
    refused(&place, &["--suite", "phase33"], 2, &["did you mean `phase3`?", "phase2, phase3"]);
    refused(&place, &["--suite", "mine.yaml"], 2, &["cannot read the suite file mine.yaml"]);
    assert_eq!(red(&place, "mine"), 1, "yesterday's report of a suite file that is gone does not stay green");
    refused(&place, &["--suite", "phase2", "--suite", "phase2"], 2, &["two suites are called `phase2`"]);
    refused(&place, &["--logfile", "x"], 2, &["--logfile"]);
    refused(&place, &["--test-threads", "0"], 2, &["--test-threads"]);
    refused(&place, &["--timeout", "5"], 2, &["90s or 5m"]);
}

#[test]
fn a_broken_suite_file_is_named_with_line_column_and_a_suggestion() {
    for (name, place_in_file, words) in [
        ("unknown-check", "12:7", "unknown check `podz`"),
        ("unknown-key", "13:9", "did you mean `restart-window`?"),
        ("unknown-server", "10:10", "did you mean `input`?"),
        ("slug-twice", "11:11", "slug `count` makes a second test broken::count"),
        ("no-server", "9:11", "no server is named"),
        ("wrong-duration", "13:25", "write a duration like 90s or 10m"),
        ("not-yaml", "3:1", "quoted scalar"),
        ("no-group", "13:63", "has no group"),
        ("no-time", "13:25", "must be more than zero"),
        ("tests-nothing", "17:17", "must not be zero or empty"),
    ] {
        let file = format!("{}/fixtures/suites/broken/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let place = Place::new();
        refused(&place, &["--suite", &file], 2, &[&format!("{name}.yaml:{place_in_file}:"), words]);
        assert_eq!(red(&place, "broken"), 1, "the report of a suite that cannot be read is red");
    }
}

#[test]
fn a_filter_that_selects_nothing_is_no_success_and_replaces_the_old_report() {
    let place = Place::new();
    std::fs::create_dir(place.path("reports")).unwrap();
    std::fs::write(place.path("reports/phase3.xml"), "<testsuites/>").unwrap();
    refused(&place, &["--suite", "phase3", "latncy"], 4, &["`latncy`", "--list"]);
    assert_eq!(red(&place, "phase3"), 1);
}

#[test]
fn without_a_kubeconfig_or_context_it_says_which_there_are() {
    let place = Place::new();
    refused(&place, &[], 3, &["cannot read the kubeconfig", "--kubeconfig"]);
    let all = (tests("phase2"), tests("phase3"));
    assert_eq!((red(&place, "phase2"), red(&place, "phase3")), all, "every selected test is an error");
    place.connect("127.0.0.1:1");
    refused(&place, &["--context", "file-simulater"], 3, &["did you mean `file-simulator`?", "it has: file-simulator"]);
    std::fs::write(place.path("kubeconfig"), "{not yaml").unwrap();
    refused(&place, &[], 3, &["cannot use the kubeconfig"]);
}

#[test]
fn a_values_file_that_cannot_be_used_is_refused_before_the_cluster_is_asked() {
    let place = Place::new();
    refused(&place, &["--values", "missing.yaml"], 2, &["missing.yaml", "give the path of a Helm values file"]);
    std::fs::write(place.path("values.yaml"), "global: {}").unwrap();
    refused(&place, &["--values", "values.yaml"], 2, &["no `nasServers` with names"]);
}

#[test]
fn a_cluster_that_refuses_or_hangs_ends_the_run() {
    let place = Place::new();
    place.connect("127.0.0.1:1");
    refused(&place, &[], 3, &["http://127.0.0.1:1", "refused"]);
    place.connect(&silent());
    refused(&place, &[], 3, &["no answer to get /version within 10s"]);
    assert_eq!(red(&place, "phase3"), tests("phase3"));
}

#[test]
fn wrong_credentials_and_missing_permissions_are_named() {
    let place = Place::new();
    let denied = r#"{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    place.connect(&answering(move |_| (401, denied)));
    refused(&place, &[], 3, &["401", "get /version", "log in"]);
    let forbidden =
        r#"{"kind":"Status","status":"Failure","message":"pods is forbidden","reason":"Forbidden","code":403}"#;
    place.connect(&answering(move |path| if path == "/version" { (200, VERSION) } else { (403, forbidden) }));
    refused(&place, &[], 3, &["no permission to list pods", "pods is forbidden", "Role"]);
}

#[test]
fn a_missing_namespace_and_a_missing_folder_are_refused() {
    let place = Place::new();
    let missing = r#"{"kind":"Status","status":"Failure","message":"not found","reason":"NotFound","code":404}"#;
    let empty = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
    place.connect(&answering(move |path| match path {
        "/version" => (200, VERSION),
        path if path.starts_with("/api/v1/namespaces/file-simulator?") || path.ends_with("/file-simulator") => {
            (404, missing)
        }
        _ => (200, empty),
    }));
    refused(&place, &[], 3, &["has no namespace `file-simulator`", "--namespace"]);
    refused(&place, &["--host-data", "nowhere"], 3, &["nowhere is not a folder", "--host-data"]);
}

#[test]
fn a_namespace_with_nothing_of_the_release_is_refused_and_doctor_says_the_same() {
    let place = Place::new();
    let namespace = r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"file-simulator"}}"#;
    let empty = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
    place.connect(&answering(move |path| match path {
        "/version" => (200, VERSION),
        path if path.ends_with("/file-simulator") => (200, namespace),
        // Nothing ever happens there.
        path if path.contains("watch=true") => (200, ""),
        _ => (200, empty),
    }));
    let words = ["has nothing of the release `file-sim`", "helm upgrade --install"];
    refused(&place, &[], 3, &words);
    let doctor = place.run(&["doctor"]);
    assert_eq!(doctor.code, 3, "{}{}", doctor.out, doctor.err);
    for word in words.iter().chain(&["PASS  cluster", "WARN  permissions", "PASS  namespace", "FAIL  release"]) {
        assert!(doctor.out.contains(word), "no `{word}` in: {}", doctor.out);
    }
}

#[test]
fn doctor_says_in_a_line_each_what_is_in_a_beginners_way() {
    let place = Place::new();
    let says = |arguments: &[&str], words: &[&str]| {
        let ended = place.run(&[&["doctor"], arguments].concat());
        assert_eq!(ended.code, 3, "{}", ended.err);
        for word in words {
            assert!(ended.out.contains(word), "{arguments:?}: no `{word}` in: {}", ended.out);
        }
        assert!(!place.path("reports").exists() && ended.out.lines().count() < 20, "{}", ended.out);
    };
    says(&["--host-data", "nowhere"], &["FAIL  folder", "nowhere is not a folder", "FAIL  kubeconfig", "do:"]);
    place.connect("127.0.0.1:1");
    says(&["--context", "file-simulater"], &["FAIL  kubeconfig", "did you mean `file-simulator`?"]);
    says(&[], &["PASS  folder", "PASS  kubeconfig", "FAIL  cluster", "refused"]);
    let denied = r#"{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    place.connect(&answering(move |_| (401, denied)));
    says(&[], &["FAIL  cluster", "401", "log in"]);
    place.connect("no-such-name.invalid:1");
    says(&[], &["FAIL  cluster", "no-such-name.invalid"]);
    std::fs::write(
        place.path("kubeconfig"),
        "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n\
         users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-login, \
         installHint: get it from us}}}]\ncontexts: [{name: file-simulator, context: {cluster: c, user: u}}]\n",
    )
    .unwrap();
    says(&[], &["FAIL  cluster", "`no-such-login` cannot be run", "get it from us"]);
    assert_eq!(place.run(&["doctor", "--suite", "phase33"]).code, 2);
}

#[test]
fn reports_that_cannot_be_written_are_no_success() {
    let place = Place::new();
    std::fs::write(place.path("reports"), "a file").unwrap();
    refused(&place, &[], 3, &["cannot write"]);
}
