//! The report files of a run: replaced at its first event, then kept up to date, whole at every moment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::model::Run;
use super::{Reporter, diagnostics, html, junit};
use crate::event::Event;
use crate::replace;

/// Writes `<suite>.xml` and `<suite>.json` of each suite, `index.html` of the run, and `diagnostics/<server>.txt` of each
/// server that is broken.
pub struct Files {
    folder: PathBuf,
    changed: bool,
    /// Whether diagnostics of an earlier run may be there.
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

/// Writes beside the file and renames, so that nobody ever reads half a report.
fn write(path: &Path, text: anyhow::Result<String>) -> anyhow::Result<()> {
    let text = text?;
    let replace = || {
        let target = replace::target(path)?;
        let folder = replace::folder(&target);
        fs::create_dir_all(folder)?;
        let file = temporary(folder)?;
        fs::write(file.path(), &text)?;
        file.persist(&target).map(drop).map_err(|error| error.error)
    };
    replace().with_context(|| format!("cannot write {}", path.display()))
}

/// A file in `folder` that others may read, as they may read any report.
fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.prefix(".report-").tempfile_in(folder)
}

impl Reporter for Files {
    fn on(&mut self, event: &Event, _: &Run) -> anyhow::Result<()> {
        let is_told = !matches!(event, Event::TestWaiting { .. } | Event::Interrupted { .. });
        self.changed |= is_told;
        Ok(())
    }

    fn flush(&mut self, run: &Run) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        // Every file is tried, whatever becomes of the others.
        let mut written = vec![self.remove_stale()];
        for suite in &run.suites {
            let report = run.of(suite);
            written.push(write(&self.folder.join(format!("{suite}.xml")), junit::text(&report)));
            let json = serde_json::to_string_pretty(&report).map(|text| text + "\n");
            written.push(write(&self.folder.join(format!("{suite}.json")), json.map_err(Into::into)));
        }
        written.push(write(&self.folder.join("index.html"), html::text(run)));
        for known in &run.diagnosed {
            let path = diagnostics::path(&self.folder, &known.server);
            written.push(write(&path, Ok(diagnostics::text(run, known))));
        }
        written.into_iter().collect::<anyhow::Result<()>>()?;
        self.changed = false;
        Ok(())
    }
}
