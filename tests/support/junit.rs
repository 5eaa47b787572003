//! Reads a run's JUnit reports.

use std::collections::BTreeMap;
use std::path::Path;

use roxmltree::{Document, Node};

/// Each test's outcome (PASS, FAIL, ERROR or SKIP) and reason, by its full name.
pub type Results = BTreeMap<String, (&'static str, String)>;

pub fn all(reports: &Path) -> Results {
    let files = std::fs::read_dir(reports).into_iter().flatten().map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "xml"))
        .flat_map(|file| results(&file))
        .collect()
}

pub fn results(report: &Path) -> Results {
    let text = std::fs::read_to_string(report).unwrap_or_else(|error| panic!("{}: {error}", report.display()));
    let document = Document::parse(&text).unwrap();
    let tests = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let name = |test: Node| ["classname", "name"].map(|part| test.attribute(part).unwrap()).join("::");
    tests.map(|test| (name(test), result(test))).collect()
}

fn result(test: Node) -> (&'static str, String) {
    let why =
        |child: Node| [child.attribute("message"), child.text()].into_iter().flatten().collect::<Vec<_>>().join("\n");
    let tags = [("failure", "FAIL"), ("error", "ERROR"), ("skipped", "SKIP")];
    let found = tags
        .into_iter()
        .find_map(|(tag, outcome)| Some((outcome, why(test.children().find(|child| child.has_tag_name(tag))?))));
    found.unwrap_or_else(|| ("PASS", String::new()))
}
