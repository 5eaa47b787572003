//! Other programs that read our JUnit files find the contents of the JSON reports.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::root;
use crate::support::test_cluster::output;
use crate::support::workspace::Workspace;

use super::stream::{hostile, outputs, rich};

#[test]
#[ignore = "installs packages from PyPI and npm; cargo test --test offline -- --ignored readers"]
fn other_readers_of_junit_find_the_contents_of_the_json() {
    let workspace = Workspace::new();
    let suites = ["--suite", "smoke", "--suite", "phase3"];
    let waits = ["--skip", "latency", "--skip", "multi-write", "--skip", "cadence"];
    workspace.expect(&[&["--simulate=server-missing"], &suites[..], &waits].concat(), 1, &[]);
    let mut reports: Vec<_> = ["smoke", "phase3"].map(|suite| workspace.path("reports").join(suite)).into();
    for (run, events, suites) in [("rich", rich(), &["phase2", "phase3"][..]), ("hostile", hostile(), &["phase9"])] {
        let texts = outputs(&events);
        std::fs::create_dir(workspace.path(run)).unwrap();
        for suite in suites {
            let report = workspace.path(run).join(suite);
            for extension in ["xml", "json"] {
                std::fs::write(report.with_extension(extension), &texts[&format!("{suite}.{extension}")]).unwrap();
            }
            reports.push(report);
        }
    }
    let files: Vec<_> = reports.iter().map(|report| report.with_extension("xml")).collect();
    for reader in ["read.py", "read.mjs"] {
        let read = output(Command::new(root("fixtures/junit-readers/read")).arg(reader).args(&files));
        let read: Vec<Value> = serde_json::from_str(&read).unwrap();
        assert_eq!(read.len(), reports.len(), "{reader}");
        for (report, mut read) in reports.iter().zip(read) {
            let (expected, seen) = expected(&report.with_extension("json"));
            for (test, seen) in read["tests"].as_array_mut().unwrap().iter_mut().zip(seen) {
                let text = test["text"].take();
                assert!(seen.iter().all(|line| text.as_str().unwrap().contains(line)), "{reader}: {seen:?} in {text}");
            }
            assert_eq!(read, expected, "{reader}: {}", report.display());
        }
    }
}

/// The expected output of a reader, without the texts, and the lines that each test's text must contain.
fn expected(report: &Path) -> (Value, Vec<Vec<String>>) {
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let (tests, counts) = (report["tests"].as_array().unwrap(), &report["counts"]);
    let test = |test: &Value| {
        let name = ["suite", "name"].map(|key| test[key].as_str().unwrap()).join("::");
        let message = if test["outcome"] == "PASS" { &json!("") } else { &test["headline"] };
        json!({"name": name, "outcome": test["outcome"], "millis": test["millis"], "message": message, "text": null})
    };
    let seen = |test: &Value| {
        let reasons = test["reasons"].as_array().unwrap().iter();
        let lines = reasons.flat_map(|reason| reason["seen"].as_str().unwrap().lines());
        // A CDATA section cannot contain its end marker.
        lines.map(|line| line.replace("]]>", "]] >")).collect()
    };
    let [tests_count, failures, errors, skipped] = ["tests", "fail", "error", "skip"].map(|key| &counts[key]);
    let counts = json!({"tests": tests_count, "failures": failures, "errors": errors, "skipped": skipped});
    let tests_read: Vec<Value> = tests.iter().map(test).collect();
    let suite = json!({"name": report["suites"][0], "counts": counts, "tests": tests_read});
    (suite, tests.iter().map(seen).collect())
}
