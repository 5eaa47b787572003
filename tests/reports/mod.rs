//! The reporters: they match golden files and schema, survive hostile output, and the page needs neither scripts nor network.

use file_simulator_e2e::report::model::Run;
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;

use crate::support::golden::golden;
use crate::support::workspace::Workspace;
use stream::{hostile, outputs, rich, started};

#[cfg(unix)]
mod readers;
mod stream;

#[test]
fn each_reporter_matches_its_golden_file() {
    owo_colors::set_override(false);
    let outputs = outputs(&rich());
    for (name, kept) in [
        ("phase3.xml", "junit.xml"),
        ("phase3.json", "report.json"),
        ("index.html", "index.html"),
        ("nas-output-2.txt", "diagnosis.txt"),
        ("console.txt", "console.txt"),
        ("summary.md", "summary.md"),
    ] {
        golden(&format!("fixtures/reports/{kept}"), &outputs[name]);
    }
}

#[test]
fn reports_conform_to_their_published_schema() {
    let schema = schemars::schema_for!(Run);
    golden("docs/report.schema.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for (events, name) in [(rich(), "phase2.json"), (hostile(), "phase9.json"), (vec![started()], "phase9.json")] {
        let mut report: Value = serde_json::from_str(&outputs(&events)[name]).unwrap();
        let problems: Vec<String> = validator.iter_errors(&report).map(|problem| problem.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
        report["tests"][0]["outcome"] = "MAYBE".into();
        assert!(!validator.is_valid(&report), "the schema accepts an unknown outcome");
    }
}

#[test]
fn hostile_output_is_escaped_and_its_secret_is_redacted() {
    let outputs = outputs(&hostile());
    for (name, text) in &outputs {
        assert!(text.contains("password=[removed] too") && !text.contains("hunter2"), "{name}: {text}");
    }
    let junit = Document::parse(&outputs["phase9.xml"]).unwrap();
    let all = |tag: &'static str| junit.descendants().filter(move |node| node.has_tag_name(tag));
    let suite = all("testsuite").next().unwrap();
    for (count, tag) in [("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
        assert_eq!(suite.attribute(count), Some(all(tag).count().to_string().as_str()), "{count}");
    }
    for node in all("failure").chain(all("error")) {
        let message = node.attribute("message").unwrap();
        assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    }
    let failure = all("failure").next().unwrap();
    let message = failure.attribute("message").unwrap();
    assert!(message.contains("red ]]> <b> & \"quoted\" 'too' </pre>"), "{message}");
    assert!(failure.text().unwrap().contains("expected: red"), "{:?}", failure.text());
    let page = parsed(&outputs["index.html"]);
    assert!(!page.descendants().any(|node| ["script", "b"].iter().any(|tag| node.has_tag_name(*tag))));
    let failure = page.descendants().find(|node| node.attribute("class") == Some("card failure FAIL")).unwrap();
    let failure: String = failure.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect();
    let words = "red ]]> <b> & \"quoted\" 'too' </pre></style><script>alert(1)</script> {{ 7 * 7 }} | `x` ```\n::error::next line";
    assert!(failure.contains(words), "{failure}");
    assert_eq!(outputs["summary.md"].matches('<').count(), 2, "{}", outputs["summary.md"]);
}

fn parsed(page: &str) -> Document<'_> {
    Document::parse_with_options(page, ParsingOptions { allow_dtd: true, ..ParsingOptions::default() }).unwrap()
}

const ACTIVE: [&str; 12] =
    ["script", "link", "img", "iframe", "object", "embed", "audio", "video", "source", "base", "form", "image"];

#[test]
fn the_page_loads_nothing() {
    for events in [rich(), hostile(), vec![started()]] {
        let page = &outputs(&events)["index.html"];
        assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'"), "{page}");
        let page = parsed(page);
        let elements = || page.descendants().filter(Node::is_element);
        assert!(elements().all(|node| !ACTIVE.contains(&node.tag_name().name())));
        let is_quiet = |name: &str| {
            !name.starts_with("on") && !["src", "srcset", "action", "background", "hidden"].contains(&name)
        };
        assert!(elements().flat_map(|node| node.attributes()).all(|attribute| is_quiet(attribute.name())));
        let mut links = elements().filter(|node| node.has_tag_name("a"));
        assert!(links.all(|link| link.attribute("href").is_some_and(|href| href.starts_with('#'))));
    }
}

#[test]
fn a_killed_run_leaves_red_reports() {
    let outputs = outputs(&[started()]);
    let junit = &outputs["phase9.xml"];
    assert_eq!(junit.matches("<error type=\"ERROR\" message=\"not finished\"").count(), 5, "{junit}");
    let json: Value = serde_json::from_str(&outputs["phase9.json"]).unwrap();
    assert_eq!((&json["conclusion"], &json["counts"]["not_finished"]), (&"not-finished".into(), &5.into()), "{json}");
    for words in ["<body class=\"FAIL\"", "NOT FINISHED", "5 ERROR (5 not finished)"] {
        assert!(outputs["index.html"].contains(words), "no `{words}` in {}", outputs["index.html"]);
    }
}

#[test]
fn github_actions_shows_why_a_run_could_not_start_and_runs_none_of_its_output() {
    let workspace = Workspace::new();
    std::fs::write(workspace.path("summary.md"), "# of the step before\n").unwrap();
    let mut command = workspace.command(&["--suite", "mine.yaml"]);
    command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", workspace.path("summary.md"));
    let ended = workspace.finish(command);
    let token = ended.out.lines().next().and_then(|line| line.strip_prefix("::stop-commands::")).unwrap_or_default();
    assert!(token.len() == 32 && ended.out.ends_with(&format!("::{token}::\n")), "{}", ended.out);
    let summary = std::fs::read_to_string(workspace.path("summary.md")).unwrap();
    let names_error = summary.contains("error: cannot read the suite file mine.yaml");
    assert!(names_error && summary.starts_with("# of the step before\n## NOT STARTED\n"), "{summary}");
}
