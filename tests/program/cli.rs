//! The program from outside: exit codes, messages and reports for everything that goes wrong before the first test.

use serde_json::json;

use crate::support::canned::{VERSION, answering, silent};
use crate::support::junit;
use crate::support::place::Place;

const UNAUTHORIZED: &str =
    r#"{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
const FORBIDDEN: &str =
    r#"{"kind":"Status","status":"Failure","message":"pods is forbidden","reason":"Forbidden","code":403}"#;
const NOT_FOUND: &str = r#"{"kind":"Status","status":"Failure","message":"not found","reason":"NotFound","code":404}"#;
const EMPTY: &str = r#"{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
const NAMESPACE: &str = r#"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"file-simulator"}}"#;

fn refused(place: &Place, arguments: &[&str], code: i32, words: &[&str]) {
    let ended = place.says(arguments, code, words);
    assert!(words.iter().all(|word| ended.err.contains(word)), "{arguments:?}: {}", ended.err);
}

/// Holds the suite's report to be of so many tests, each of which is an error.
fn red(place: &Place, suite: &str, tests: usize) {
    let results = junit::results(&place.junit(suite));
    assert!(results.len() == tests && results.values().all(|(outcome, _)| *outcome == "ERROR"), "{results:?}");
}

fn tests(suite: &str) -> usize {
    Place::new().listed(&["--suite", suite]).len()
}

#[test]
fn help_and_version_are_the_programs_own() {
    let help = Place::new().run(&["--help"]);
    assert!(help.out.starts_with("file-simulator-e2e ") && help.out.contains("Exit codes:"), "{}", help.out);
    assert!(help.code == 0 && !help.out.contains("libtest"), "{}", help.out);
    let version = Place::new().run(&["--version"]);
    assert_eq!(version.out.trim(), concat!("file-simulator-e2e ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_list_needs_no_cluster_and_is_what_libtest_prints() {
    let lists = |arguments: &[&str], tests: &[&str]| {
        let list = Place::new().run(&[&["--list"], arguments].concat());
        let expected = tests.iter().map(|test| format!("{test}: test\n")).collect::<Vec<_>>().concat();
        assert_eq!((list.code, list.out), (0, expected));
    };
    let latency = ["1", "2", "3"].map(|number| format!("phase3::latency::nas-output-{number}"));
    lists(&["--suite", "phase3", "latency"], &latency.each_ref().map(String::as_str));
    lists(&["--exact", "phase2::cluster"], &["phase2::cluster"]);
    let whole = ["phase2::cluster", "phase2::release", "phase2::pods-count", "phase2::unique"];
    lists(&["--suite", "phase2", "--skip", "nas-"], &whole);
}

#[test]
fn a_wrong_command_line_or_values_file_is_a_usage_error() {
    let place = Place::new();
    std::fs::write(place.path("values.yaml"), "global: {}").unwrap();
    for (arguments, words) in [
        (&["--contxt", "x"][..], &["--context"][..]),
        (&["--suite", "phase33"], &["did you mean `phase3`?", "phase2, phase3"]),
        (&["doctor", "--suite", "phase33"], &["did you mean `phase3`?"]),
        (&["--suite", "mine.yaml"], &["cannot read the suite file mine.yaml"]),
        (&["--suite", "phase2", "--suite", "phase2"], &["two suites are called `phase2`"]),
        (&["repaly", "run.json.gz"], &["no subcommand `repaly`", "did you mean `replay`?"]),
        (&["lint", "mine.yaml"], &["no subcommand `lint`", "--list --suite FILE"]),
        (&["docter"], &["did you mean `doctor`?"]),
        (&["--logfile", "x"], &["--logfile"]),
        (&["--test-threads", "0"], &["--test-threads"]),
        (&["--timeout", "5"], &["90s or 5m"]),
        (&["--values", "missing.yaml"], &["missing.yaml", "give the path of a Helm values file"]),
        (&["--values", "values.yaml"], &["no `nasServers` with names"]),
    ] {
        refused(&place, arguments, 2, words);
    }
    red(&place, "mine", 1);
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
        red(&place, "broken", 1);
    }
}

#[test]
fn a_filter_that_selects_nothing_is_no_success_and_replaces_the_old_report() {
    let place = Place::new();
    std::fs::create_dir(place.path("reports")).unwrap();
    std::fs::write(place.path("reports/phase3.xml"), "<testsuites/>").unwrap();
    refused(&place, &["--suite", "phase3", "latncy"], 4, &["`latncy`", "--list"]);
    red(&place, "phase3", 1);
}

#[test]
fn a_cluster_that_cannot_be_used_makes_every_selected_test_an_error() {
    let place = Place::new();
    refused(&place, &[], 3, &["cannot read the kubeconfig", "--kubeconfig"]);
    red(&place, "phase2", tests("phase2"));
    red(&place, "phase3", tests("phase3"));
    place.connect("127.0.0.1:1");
    refused(&place, &["--context", "file-simulater"], 3, &["did you mean `file-simulator`?", "it has: file-simulator"]);
    refused(&place, &[], 3, &["http://127.0.0.1:1", "refused"]);
    refused(&place, &["--host-data", "nowhere"], 3, &["nowhere is not a folder", "--host-data"]);
    place.connect(&silent());
    refused(&place, &[], 3, &["no answer to get /version within 10s"]);
    place.connect(&answering(|_| (401, UNAUTHORIZED)));
    refused(&place, &[], 3, &["401", "get /version", "log in"]);
    place.connect(&answering(|path| if path == "/version" { (200, VERSION) } else { (403, FORBIDDEN) }));
    refused(&place, &[], 3, &["no permission to list pods", "pods is forbidden", "Role"]);
    place.connect(&answering(|path| match path {
        "/version" => (200, VERSION),
        path if path.ends_with("/file-simulator") => (404, NOT_FOUND),
        _ => (200, EMPTY),
    }));
    refused(&place, &[], 3, &["has no namespace `file-simulator`", "--namespace"]);
}

#[test]
fn a_namespace_with_nothing_of_the_release_is_refused_and_doctor_says_the_same() {
    let place = Place::new();
    place.connect(&answering(|path| match path {
        "/version" => (200, VERSION),
        path if path.ends_with("/file-simulator") => (200, NAMESPACE),
        // Nothing ever happens there.
        path if path.contains("watch=true") => (200, ""),
        _ => (200, EMPTY),
    }));
    let words = ["has nothing of the release `file-sim`", "helm upgrade --install"];
    refused(&place, &[], 3, &words);
    let lines = ["PASS  cluster", "WARN  permissions", "PASS  namespace", "FAIL  release"];
    place.says(&["doctor"], 3, &[&words[..], &lines].concat());
}

#[test]
fn doctor_says_in_a_line_each_what_is_in_a_beginners_way() {
    let place = Place::new();
    let says = |arguments: &[&str], words: &[&str]| {
        let ended = place.says(&[&["doctor"], arguments].concat(), 3, words);
        assert!(!place.path("reports").exists() && ended.out.lines().count() < 20, "{}", ended.out);
    };
    says(&["--host-data", "nowhere"], &["FAIL  folder", "nowhere is not a folder", "FAIL  kubeconfig", "do:"]);
    place.connect("127.0.0.1:1");
    says(&["--context", "file-simulater"], &["FAIL  kubeconfig", "did you mean `file-simulator`?"]);
    says(&[], &["PASS  folder", "PASS  kubeconfig", "FAIL  cluster", "refused"]);
    place.connect(&answering(|_| (401, UNAUTHORIZED)));
    says(&[], &["FAIL  cluster", "401", "log in"]);
    place.connect("no-such-name.invalid:1");
    says(&[], &["FAIL  cluster", "no-such-name.invalid"]);
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login",
        "installHint": "get it from us"});
    place.configure(&json!({"server": "http://127.0.0.1:1"}), &json!({"exec": exec}));
    says(&[], &["FAIL  cluster", "`no-such-login` cannot be run", "get it from us"]);
}

#[test]
fn reports_that_cannot_be_written_are_no_success() {
    let place = Place::new();
    std::fs::write(place.path("reports"), "a file").unwrap();
    refused(&place, &[], 3, &["cannot write"]);
}
