//! Runs the program as a user would, and reads its JUnit reports back.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use roxmltree::{Document, Node};

use crate::catalogue::Round;
use crate::lab::Lab;

/// A run that has ended.
pub struct Run {
    /// Each test of the reports by its full name, with PASS, FAIL, ERROR or SKIP.
    pub outcomes: BTreeMap<String, &'static str>,
    /// The tests that `--list` names.
    pub listed: Vec<String>,
    /// The exit code.
    pub exit: Option<i32>,
    /// What it printed.
    pub output: String,
}

impl Run {
    /// Runs the suites of a round to their end; where `RECORDINGS` names a folder, recorded there under the round's name.
    pub fn of(lab: &Lab, round: &Round) -> Self {
        let folder = std::env::var_os("RECORDINGS").map(PathBuf::from);
        // Once is enough of what is the same.
        let folder = folder.filter(|_| !round.name.ends_with("again"));
        let record = folder.map(|folder| folder.join(format!("{}.json.gz", round.name)));
        let reports = tempfile::tempdir().unwrap();
        let Round { suites, skip, .. } = round;
        let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
        command.args(suites.iter().map(|suite| format!("--suite={suite}")));
        command.args(skip.iter().map(|part| format!("--skip={part}")));
        command.args(round.disrupts.then_some("--allow-disruption"));
        command.arg("--kubeconfig").arg(&lab.kubeconfig).args(["--context", lab.context]);
        command.arg("--host-data").arg(&lab.folder).arg("--report-dir").arg(reports.path());
        command.args(record.iter().flat_map(|path| [OsStr::new("--record"), path.as_os_str()]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ended = command.output().unwrap();
        let listed = command.arg("--list").output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        Self {
            outcomes: suites.iter().flat_map(|suite| read(&reports.path().join(format!("{suite}.xml")))).collect(),
            listed: listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect(),
            exit: ended.status.code(),
            output: String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned(),
        }
    }
}

/// The tests of one report.
pub fn read(path: &Path) -> Vec<(String, &'static str)> {
    let text = std::fs::read_to_string(path).unwrap();
    let document = Document::parse(&text).unwrap();
    let cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    let attribute = |case: Node, name| case.attribute(name).unwrap().to_owned();
    cases
        .map(|case| (format!("{}::{}", attribute(case, "classname"), attribute(case, "name")), outcome(case)))
        .collect()
}

fn outcome(case: Node) -> &'static str {
    let names = [("failure", "FAIL"), ("error", "ERROR"), ("skipped", "SKIP")];
    let found = names.into_iter().find(|(tag, _)| case.children().any(|child| child.has_tag_name(*tag)));
    found.map_or("PASS", |(_, outcome)| outcome)
}
