//! What each reporter says of one run with something of everything, and the schema of the JSON.

use std::collections::BTreeSet;

use file_simulator_e2e::event::{Case, CaseId, Event, Outcome};
use file_simulator_e2e::report::console::{Console, Look};
use file_simulator_e2e::report::gather::Gathered;
use file_simulator_e2e::report::github;
use file_simulator_e2e::report::model::RunReport;
use file_simulator_e2e::report::sanitize::sanitized;
use indicatif::ProgressDrawTarget;
use serde_json::Value;

use super::stream::{hostile, only, report, reported, rich, started, told};
use crate::support::golden::golden;
use crate::support::place::Place;

#[test]
fn each_reporter_says_what_it_said() {
    let files = reported(&rich());
    for (name, kept) in [
        ("phase3.xml", "junit.xml"),
        ("phase3.json", "report.json"),
        ("index.html", "index.html"),
        ("diagnostics/nas-output-2.txt", "diagnosis.txt"),
    ] {
        golden(&format!("fixtures/reports/{kept}"), &files.text(name));
    }
    owo_colors::set_override(false);
    let mut out = Vec::new();
    let look = Look { quiet: false, verbose: false, reports: "reports".into() };
    told(&mut Console::on(&mut out, ProgressDrawTarget::hidden(), look), &rich());
    golden("fixtures/reports/console.txt", &String::from_utf8(out).unwrap());
    golden("fixtures/reports/summary.md", &on_github(&rich()));
}

#[test]
fn no_reporter_tells_a_secret_of_a_pod() {
    let files = reported(&hostile());
    let mut out = Vec::new();
    let look = Look { quiet: false, verbose: true, reports: "reports".into() };
    told(&mut Console::on(&mut out, ProgressDrawTarget::hidden(), look), &hostile());
    let names = ["phase9.xml", "phase9.json", "index.html", "diagnostics/nas-1.txt"];
    let mut told = names.map(|name| files.text(name)).to_vec();
    told.push(String::from_utf8(out).unwrap());
    told.push(on_github(&hostile()));
    for text in told {
        assert!(text.contains("password=[removed] too") && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn reports_are_what_their_published_schema_says() {
    let schema = schemars::schema_for!(RunReport);
    golden("docs/report.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let runs = [rich(), hostile(), vec![started()], only(Outcome::Skip)];
    for (events, name) in runs.iter().zip(["phase2.json", "phase9.json", "phase9.json", "phase2.json"]) {
        let mut report: Value = serde_json::from_str(&reported(events).text(name)).unwrap();
        let problems: Vec<String> = validator.iter_errors(&report).map(|problem| problem.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
        report["tests"][0]["outcome"] = "MAYBE".into();
        assert!(!validator.is_valid(&report), "the schema refuses what is none of ours");
    }
}

#[test]
fn a_run_that_was_killed_leaves_red_reports_in_place_of_those_of_yesterday() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("phase9.xml"), "<testsuites/>").unwrap();
    report(folder.path(), &[started()]);
    let names = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), ["index.html", "phase9.json", "phase9.xml"].map(str::to_owned).into());
    let [junit, json, page] =
        ["phase9.xml", "phase9.json", "index.html"].map(|name| std::fs::read_to_string(file(name)).unwrap());
    assert_eq!(junit.matches("<error type=\"ERROR\" message=\"not finished\"").count(), 5, "{junit}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["conclusion"], &json["counts"]["not_finished"]), (&"not-finished".into(), &5.into()), "{json}");
    for words in ["<body class=\"FAIL\"", "NOT FINISHED", "5 ERROR (5 not finished)"] {
        assert!(page.contains(words), "no `{words}` in {page}");
    }
}

#[test]
fn the_counts_of_the_json_add_up() {
    for (events, name) in [(rich(), "phase2.json"), (hostile(), "phase9.json")] {
        let report: Value = serde_json::from_str(&reported(&events).text(name)).unwrap();
        let count = |name: &str| report["counts"][name].as_u64().unwrap();
        assert_eq!(count("tests"), ["pass", "fail", "error", "skip"].map(count).iter().sum::<u64>());
        assert_eq!(count("tests"), report["tests"].as_array().unwrap().len() as u64);
        assert!(report["conclusion"] != "not-finished" && count("not_finished") < count("tests"), "{report}");
    }
}

#[test]
fn the_summary_of_a_step_shows_no_markup_of_a_pod_and_is_no_longer_than_github_takes() {
    let Event::CaseFinished { id, mut verdict, elapsed } = hostile().remove(3) else { panic!("not a result") };
    let Event::RunStarted { at, suites, .. } = started() else { panic!("not a start") };
    let ids = (0..500).map(|number| CaseId { slug: format!("many-{number}"), ..id.clone() });
    let cases = ids.clone().map(|id| Case { id, hops: &[] }).collect();
    verdict.reasons[0].seen = "<".repeat(10_000);
    let mut events = vec![Event::RunStarted { at, suites, cases }];
    events.extend(ids.map(|id| Event::CaseFinished { id, verdict: verdict.clone(), elapsed }));
    let summary = on_github(&events);
    assert!(summary.len() < 1_048_576 && summary.ends_with("…\nsee the report files</pre>\n"), "{}", summary.len());
    let summary = on_github(&hostile());
    assert_eq!(summary.matches('<').count(), 2, "{summary}");
}

#[test]
fn a_step_of_github_actions_is_told_why_a_run_could_not_start_and_takes_no_command_of_it() {
    let place = Place::new();
    std::fs::write(place.path("summary.md"), "# of the step before\n").unwrap();
    let mut command = place.command(&["--suite", "mine.yaml"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    let ended = place.finish(command);
    let token = ended.out.lines().next().and_then(|line| line.strip_prefix("::stop-commands::")).unwrap_or_default();
    assert!(token.len() == 32 && ended.out.ends_with(&format!("::{token}::\n")), "{}", ended.out);
    let summary = std::fs::read_to_string(place.path("summary.md")).unwrap();
    let says = summary.contains("error: cannot read the suite file mine.yaml");
    assert!(says && summary.starts_with("# of the step before\n## NOT STARTED\n"), "{summary}");
}

/// A step's summary.
fn on_github(events: &[Event]) -> String {
    let mut run = Gathered::default();
    for event in events {
        run.take(&sanitized(event.clone()));
    }
    github::text(&run.report(None))
}
