//! The report files of a run: replaced at its first event and kept up to date; a reader always sees a complete file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::model::Run;
use super::{Reporter, diagnostics, html, junit};
use crate::event::Event;
use crate::replace;

/// Writes `<suite>.xml` and `<suite>.json` for each suite, `index.html`, and `diagnostics/<server>.txt` for each broken server.
pub struct Files {
    folder: PathBuf,
    changed: bool,
    /// Whether the diagnostics of an earlier run may still exist.
    is_stale: bool,
}

impl Files {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, changed: false, is_stale: true }
    }

    fn remove_stale(&mut self) -> anyhow::Result<()> {
        if self.is_stale {
            diagnostics::remove_stale(&self.folder).context("cannot remove the diagnostics of an earlier run")?;
            self.is_stale = false;
        }
        Ok(())
    }
}

fn write(path: &Path, text: anyhow::Result<String>) -> anyhow::Result<()> {
    let text = text?;
    let replace = || {
        let (mut file, target) = replace::temporary(path, true)?;
        file.write_all(text.as_bytes())?;
        file.persist(target).map(drop).map_err(|error| error.error)
    };
    replace().with_context(|| format!("cannot write {}", path.display()))
}

impl Reporter for Files {
    fn on(&mut self, event: &Event, _: &Run) -> anyhow::Result<()> {
        self.changed |= !matches!(event, Event::TestWaiting { .. } | Event::Interrupted { .. });
        Ok(())
    }

    fn flush(&mut self, run: &Run) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        // A file that cannot be written does not stop the others.
        let mut written = vec![self.remove_stale()];
        for suite in &run.suites {
            let report = run.of(suite);
            written.push(write(&self.folder.join(format!("{suite}.xml")), junit::text(&report)));
            let json = serde_json::to_string_pretty(&report).map(|text| text + "\n");
            written.push(write(&self.folder.join(format!("{suite}.json")), json.map_err(Into::into)));
        }
        written.push(write(&self.folder.join("index.html"), html::text(run)));
        for diagnosis in &run.diagnosed {
            let path = diagnostics::path(&self.folder, &diagnosis.server);
            written.push(write(&path, Ok(diagnostics::text(run, diagnosis))));
        }
        written.into_iter().collect::<anyhow::Result<()>>()?;
        self.changed = false;
        Ok(())
    }
}
