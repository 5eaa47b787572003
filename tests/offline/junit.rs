//! The JUnit report: valid whatever a pod printed, complete from the first moment, one file for each suite.

use std::path::Path;
use std::time::Duration;

use file_simulator_e2e::event::{Case, CaseId, Ending, Event, Fact, Reason, Verdict};
use file_simulator_e2e::report::Reporter;
use file_simulator_e2e::report::junit::Junit;
use jiff::Timestamp;

/// What a hostile pod might print: control characters, an escape sequence, the end of a CDATA section, markup.
const HOSTILE: &str = "\0\u{1}\u{8}\u{b}\u{1b}[31mred\u{1b}[0m\u{fffe}\u{ffff} ]]> <b> & \"quoted\" 'too'\r\nnext line";

fn id(slug: &str, server: Option<&str>) -> CaseId {
    CaseId { suite: "phase9".into(), slug: slug.into(), server: server.map(Into::into) }
}

fn cases() -> Vec<CaseId> {
    vec![
        id("whole", None),
        id("one", Some("nas-1")),
        id("two", Some("nas-1")),
        id("three", Some("nas-1")),
        id("four", Some("nas-1")),
    ]
}

/// Hands the events to a reporter into `folder` and brings the file up to date.
fn report(folder: &Path, events: &[Event]) {
    let mut junit = Junit::new(folder.to_owned());
    for event in events {
        junit.on(event).unwrap();
    }
    junit.flush().unwrap();
}

fn started() -> Event {
    let cases = cases().into_iter().map(|id| Case { id, hops: &[] }).collect();
    Event::RunStarted { at: Timestamp::UNIX_EPOCH, suites: vec!["phase9".into()], cases }
}

/// A run in which every text is hostile.
fn hostile(folder: &Path) {
    let reason = || Reason::new(HOSTILE, HOSTILE, HOSTILE).hint(HOSTILE);
    let verdicts = [
        Verdict::judged(HOSTILE, Vec::new()).notes(vec![HOSTILE.into()]),
        Verdict::judged("", vec![reason(), reason()]),
        Verdict::error(reason()),
        Verdict::blocked(HOSTILE, reason()),
    ];
    let mut events = vec![
        started(),
        Event::Connected {
            facts: vec![Fact { name: "cluster".into(), value: HOSTILE.into() }],
            changes: vec![HOSTILE.into()],
        },
    ];
    events.extend(cases().into_iter().zip(verdicts).map(|(id, verdict)| {
        let elapsed = Duration::from_millis(1234);
        Event::CaseFinished { id, verdict, elapsed }
    }));
    events.push(Event::Noticed { text: HOSTILE.into(), is_error: false });
    events.push(Event::RunFinished { ending: Ending::Interrupted, elapsed: Duration::from_secs(2) });
    report(folder, &events);
}

#[test]
fn a_hostile_run_is_well_formed_and_loses_no_words() {
    let folder = tempfile::tempdir().unwrap();
    hostile(folder.path());
    let text = std::fs::read_to_string(folder.path().join("phase9.xml")).unwrap();
    let report = roxmltree::Document::parse(&text).unwrap();
    let suite = report.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let count = |name| suite.attribute(name).unwrap().to_owned();
    assert_eq!([count("tests"), count("failures"), count("errors")], ["5", "1", "3"]);
    let failure = report.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    let message = failure.attribute("message").unwrap();
    assert!(message.contains("red ]]> <b> & \"quoted\" 'too' next line"), "{message}");
    assert!(failure.text().unwrap().contains("expected: red"), "{:?}", failure.text());
    let names: Vec<_> = report.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(names[1].attribute("name"), Some("one::nas-1"));
    assert_eq!((names[1].attribute("classname"), names[1].attribute("time")), (Some("phase9"), Some("1.234")));
    assert!(text.contains("not finished"), "the test without a result is an error");
}

#[test]
fn the_first_report_is_red_and_replaces_the_one_of_yesterday() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phase9.xml");
    std::fs::write(&path, "<testsuites/>").unwrap();
    report(folder.path(), &[started()]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("<error type=\"ERROR\" message=\"not finished\"").count(), cases().len(), "{text}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays");
}

#[test]
#[ignore = "needs xmllint"]
fn a_hostile_run_is_valid_for_xmllint() {
    let folder = tempfile::tempdir().unwrap();
    hostile(folder.path());
    let status = std::process::Command::new("xmllint").arg("--noout").arg(folder.path().join("phase9.xml")).status();
    assert!(status.expect("xmllint is installed").success());
}
