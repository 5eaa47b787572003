//! What is known of each broken server, in a file: what was found, its hops, and how it was when its first test failed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Reporter;
use super::files::temporary;
use super::grid::Grid;
use super::text::{details, headline};
use crate::event::{Event, Fact, Outcome, Section};

/// How every file begins, so that no other is removed.
const HEAD: &str = "Diagnosis of ";

/// Writes `diagnostics/<server>.txt` into a folder, if a server is broken.
pub struct Diagnostics {
    folder: PathBuf,
    facts: Vec<Fact>,
    grid: Grid,
    /// By server, what tests found.
    found: BTreeMap<String, Vec<String>>,
    known: BTreeMap<String, Vec<Section>>,
    is_stale: bool,
    changed: bool,
}

/// Where a server's file is, of reports in that folder.
pub fn path(reports: &Path, server: &str) -> PathBuf {
    // Labels have no other characters; a suite file might.
    let name: String =
        server.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    reports.join("diagnostics").join(format!("{name}.txt"))
}

/// Sections in lines.
pub fn lines(sections: &[Section]) -> Vec<String> {
    let section = |section: &Section| {
        let head = format!("{}:", section.title);
        std::iter::once(head).chain(section.lines.iter().map(|line| format!("  {line}"))).collect::<Vec<_>>()
    };
    sections.iter().flat_map(section).collect()
}

impl Diagnostics {
    /// Into the folder of reports.
    pub fn new(folder: PathBuf) -> Self {
        let (facts, grid, found, known, is_stale, changed) = Default::default();
        Self { folder, facts, grid, found, known, is_stale, changed }
    }

    fn text(&self, server: &str, sections: &[Section]) -> String {
        let mut all = vec![format!("{HEAD}{server}, when the first of its tests went wrong")];
        all.extend(self.facts.iter().map(|fact| format!("  {}: {}", fact.name, fact.value)));
        all.push(String::new());
        all.extend(self.grid.of(server).lines());
        all.push(String::new());
        all.extend(self.found.get(server).into_iter().flatten().cloned());
        all.push(String::new());
        all.extend(lines(sections));
        all.join("\n") + "\n"
    }

    fn write(&self, server: &str, sections: &[Section]) -> anyhow::Result<()> {
        let path = path(&self.folder, server);
        let folder = path.parent().unwrap_or(&self.folder);
        let write = || {
            fs::create_dir_all(folder)?;
            let file = temporary(folder)?;
            fs::write(file.path(), self.text(server, sections))?;
            file.persist(&path).map(drop).map_err(|error| error.error)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Removes what earlier runs wrote, and the folder, if nothing else is in it.
fn remove_stale(reports: &Path) -> std::io::Result<()> {
    let folder = reports.join("diagnostics");
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let mut head = String::new();
        let is_ours = path.extension().is_some_and(|kind| kind == "txt")
            && fs::File::open(&path).is_ok_and(|file| file.take(HEAD.len() as u64).read_to_string(&mut head).is_ok())
            && head == HEAD;
        if is_ours {
            fs::remove_file(path)?;
        }
    }
    // Other people's files keep it.
    let _ = fs::remove_dir(folder);
    Ok(())
}

impl Reporter for Diagnostics {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::RunStarted { cases, .. } => {
                self.grid = Grid::new(cases);
                self.is_stale = true;
            }
            Event::Connected { facts, .. } => self.facts.clone_from(facts),
            Event::CaseFinished { id, verdict, .. } => {
                self.grid.take(id, verdict);
                let Some(server) = &id.server else { return Ok(()) };
                if matches!(verdict.outcome, Outcome::Fail | Outcome::Error) {
                    let hop = verdict.hop.map(|hop| format!(", at the hop {hop}")).unwrap_or_default();
                    let found = self.found.entry(server.clone()).or_default();
                    let blocked = verdict.blocked_by.as_ref().map(|_| format!(" {}", headline(verdict)));
                    let blocked = blocked.unwrap_or_default();
                    // Why is said once for all that one test blocks.
                    let is_told = !blocked.is_empty() && found.iter().any(|line| line.ends_with(&blocked));
                    found.push(format!("{} {id}{hop}{blocked}", verdict.outcome));
                    let details = if is_told { Vec::new() } else { details(verdict) };
                    found.extend(details.into_iter().map(|line| format!("  {line}")));
                }
                self.changed |= self.known.contains_key(server);
            }
            Event::Diagnosed { server, sections } => {
                self.known.insert(server.clone(), sections.clone());
                self.changed = true;
            }
            Event::CaseWaiting { .. }
            | Event::CaseObserved { .. }
            | Event::Interrupted { .. }
            | Event::Noticed { .. }
            | Event::RunFinished { .. } => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.is_stale {
            remove_stale(&self.folder).context("cannot remove the diagnostics of an earlier run")?;
            self.is_stale = false;
        }
        if self.changed {
            self.known.iter().try_for_each(|(server, sections)| self.write(server, sections))?;
            self.changed = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Case, CaseId, Hop, Reason, Verdict};

    #[test]
    fn a_broken_server_has_a_file_with_its_hops_and_a_run_without_one_removes_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "nas-1/x");
        let run = |events: Vec<Event>| {
            let mut reporter = Diagnostics::new(folder.path().to_owned());
            let id = |slug: &str| CaseId { suite: "s".into(), slug: slug.into(), server: Some("nas-1/x".into()) };
            let cases = [("sync", &[Hop::Sidecar]), ("init", &[Hop::Init])];
            let cases = cases.map(|(slug, hops)| Case { id: id(slug), hops }).into();
            let at = "2026-11-21T03:00:00Z".parse().unwrap();
            reporter.on(&Event::RunStarted { at, suites: Vec::new(), cases }).unwrap();
            reporter.flush().unwrap();
            for event in &events {
                reporter.on(event).unwrap();
            }
            let wrong = Verdict::judged("", vec![Reason::new("pod a", "b", "c")]).at(Hop::Sidecar);
            for (slug, verdict) in [("sync", wrong), ("init", Verdict::judged("", Vec::new()))] {
                let elapsed = std::time::Duration::ZERO;
                reporter.on(&Event::CaseFinished { id: id(slug), verdict, elapsed }).unwrap();
                reporter.flush().unwrap();
            }
        };
        let section = Section { title: "pods".into(), lines: vec!["pod a: Running".into()] };
        run(vec![Event::Diagnosed { server: "nas-1/x".into(), sections: vec![section] }]);
        let text = fs::read_to_string(&path).unwrap();
        for part in [
            "sidecar  NFS\nnas-1/x  .        .        ok       .        FAIL     .\n",
            "FAIL s::sync::nas-1/x, at the hop sidecar\n  pod a\n",
            "pods:\n  pod a: Running\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let foreign = path.with_file_name("mine.txt");
        fs::write(&foreign, "notes").unwrap();
        run(Vec::new());
        assert!(!path.exists() && foreign.exists());
        fs::remove_file(foreign).unwrap();
        run(Vec::new());
        assert!(!path.parent().unwrap().exists());
    }
}
