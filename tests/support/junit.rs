//! What a run's JUnit reports say of its tests.

use std::collections::BTreeMap;
use std::path::Path;

use roxmltree::{Document, Node};

/// By its full name, how each test ended (PASS, FAIL, ERROR or SKIP), and why.
pub type Results = BTreeMap<String, (&'static str, String)>;

/// Of all reports in a folder.
pub fn all(reports: &Path) -> Results {
    let files = std::fs::read_dir(reports).into_iter().flatten().map(|file| file.unwrap().path());
    let mut results = Results::new();
    for file in files.filter(|file| file.extension().is_some_and(|its| its == "xml")) {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let document = Document::parse(&text).unwrap();
        let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
        let name = |case: Node| ["classname", "name"].map(|part| case.attribute(part).unwrap()).join("::");
        results.extend(cases.map(|case| (name(case), result(case))));
    }
    results
}

fn result(case: Node) -> (&'static str, String) {
    let why =
        |child: Node| [child.attribute("message"), child.text()].into_iter().flatten().collect::<Vec<_>>().join("\n");
    let tags = [("failure", "FAIL"), ("error", "ERROR"), ("skipped", "SKIP")];
    let found = tags
        .into_iter()
        .find_map(|(tag, outcome)| Some((outcome, why(case.children().find(|child| child.has_tag_name(tag))?))));
    found.unwrap_or_else(|| ("PASS", String::new()))
}
