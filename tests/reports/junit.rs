//! The JUnit report: valid whatever a pod printed, complete from the first moment, one file for each suite.

use std::collections::HashSet;

use roxmltree::Document;

use super::stream::{hostile, reported, rich};

#[test]
fn a_hostile_run_is_well_formed_and_loses_no_words() {
    let text = reported(&hostile()).text("phase9.xml");
    let report = Document::parse(&text).unwrap();
    let suite = report.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!(["tests", "failures", "errors"].map(|name| suite.attribute(name).unwrap()), ["5", "1", "3"]);
    let failure = report.descendants().find(|node| node.has_tag_name("failure")).unwrap();
    let message = failure.attribute("message").unwrap();
    assert!(message.contains("red ]]> <b> & \"quoted\" 'too' </pre>"), "{message}");
    assert!(failure.text().unwrap().contains("expected: red"), "{:?}", failure.text());
    let names: Vec<_> = report.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    assert_eq!(names[1].attribute("name"), Some("one::nas-1"));
    assert_eq!((names[1].attribute("classname"), names[1].attribute("time")), (Some("phase9"), Some("1.234")));
    assert!(text.contains("not finished"), "the test without a result is an error");
}

#[test]
fn the_shape_is_what_readers_of_junit_agree_on() {
    for (events, name) in [(rich(), "phase2.xml"), (rich(), "phase3.xml"), (hostile(), "phase9.xml")] {
        let text = reported(&events).text(name);
        let report = Document::parse(&text).unwrap();
        let suites: Vec<_> = report.descendants().filter(|node| node.has_tag_name("testsuite")).collect();
        assert_eq!(suites.len(), 1, "one flat suite a file");
        let cases: Vec<_> = suites[0].children().filter(|node| node.has_tag_name("testcase")).collect();
        let names: HashSet<_> =
            cases.iter().map(|case| (case.attribute("classname"), case.attribute("name"))).collect();
        assert_eq!(names.len(), cases.len(), "GitLab drops tests that share both");
        for (count, tag) in
            [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]
        {
            let number = suites[0].descendants().filter(|node| node.has_tag_name(tag)).count();
            assert_eq!(suites[0].attribute(count), Some(number.to_string().as_str()), "{count}");
        }
        let told = ["failure", "error", "skipped"];
        for node in suites[0].descendants().filter(|node| told.iter().any(|tag| node.has_tag_name(*tag))) {
            let message = node.attribute("message").unwrap();
            assert!(!message.is_empty() && !message.contains('\n'), "{message}");
        }
    }
}
