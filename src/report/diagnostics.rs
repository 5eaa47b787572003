//! Writes a file for each broken server: its failures, its hops, and its state when its first test failed.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::grid;
use super::model::Run;
use super::text::details;
use crate::event::Diagnosis;

/// The start of every diagnosis file; files without it are never removed.
const HEAD: &str = "Diagnosis of ";

pub fn path(reports: &Path, server: &str) -> PathBuf {
    // A suite file may contain characters that are not allowed in labels.
    let name: String =
        server.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    reports.join("diagnostics").join(format!("{name}.txt"))
}

pub fn lines(diagnosis: &Diagnosis) -> Vec<String> {
    let sections = diagnosis.sections.iter();
    let lines = sections.flat_map(|section| {
        let lines = section.lines.iter().map(|line| format!("  {line}"));
        std::iter::once(format!("{}:", section.title)).chain(lines)
    });
    lines.collect()
}

pub fn text(run: &Run, diagnosis: &Diagnosis) -> String {
    let server = &diagnosis.server;
    let mut all = vec![format!("{HEAD}{server}, made when its first test failed")];
    all.extend(run.facts.iter().map(|fact| format!("  {}: {}", fact.name, fact.value)));
    all.push(String::new());
    let row = run.grid.iter().find(|row| row.server == *server);
    all.extend(row.map(|row| grid::lines(std::slice::from_ref(row))).into_iter().flatten());
    all.push(String::new());
    // The reason is shown once for all tests that are blocked by the same test.
    let mut shown = BTreeSet::new();
    for test in run.tests.iter().filter(|test| test.server.as_ref() == Some(server)) {
        if !(test.is_wrong() && test.is_finished) {
            continue;
        }
        let hop = test.hop.map(|hop| format!(", at hop {hop}")).unwrap_or_default();
        let blocked = test.blocked_by.as_ref().map(|_| format!(" {}", test.headline)).unwrap_or_default();
        all.push(format!("{} {}{hop}{blocked}", test.outcome, test.id()));
        if blocked.is_empty() || shown.insert(blocked) {
            all.extend(details(test).iter().map(|line| format!("  {line}")));
        }
    }
    all.push(String::new());
    all.extend(lines(diagnosis));
    all.join("\n") + "\n"
}

pub fn remove_stale(reports: &Path) -> std::io::Result<()> {
    let folder = reports.join("diagnostics");
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let mut head = String::new();
        let is_ours = path.extension().is_some_and(|kind| kind == "txt")
            && path.is_file()
            && fs::File::open(&path).is_ok_and(|file| file.take(HEAD.len() as u64).read_to_string(&mut head).is_ok())
            && head == HEAD;
        if is_ours {
            fs::remove_file(path)?;
        }
    }
    // Fails if other files are left.
    let _ = fs::remove_dir(folder);
    Ok(())
}
