//! The report files of a run: replaced at its first event, then kept up to date, whole at every moment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::gather::Gathered;
use super::{Reporter, html, json, junit};
use crate::event::Event;

/// Writes `<suite>.xml` and `<suite>.json` of each suite and `index.html` of the run into a folder.
pub struct Files {
    folder: PathBuf,
    run: Gathered,
    changed: bool,
}

impl Files {
    /// Reports into `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, run: Gathered::default(), changed: false }
    }

    /// Writes beside the file and renames, so that nobody ever reads half a report.
    fn write(&self, name: &str, text: anyhow::Result<String>) -> anyhow::Result<()> {
        let text = text?;
        fs::create_dir_all(&self.folder)?;
        let file = temporary(&self.folder)?;
        fs::write(file.path(), &text)?;
        file.persist(self.folder.join(name))?;
        Ok(())
    }
}

/// A file in `folder` that others may read, as they may read any report.
pub(super) fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.prefix(".report-").tempfile_in(folder)
}

impl Reporter for Files {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        self.changed |= self.run.take(event);
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        // Every file is tried, whatever becomes of the others.
        let mut written = Vec::new();
        for suite in self.run.suites() {
            let report = self.run.report(Some(suite));
            written.push(self.write(&format!("{suite}.xml"), junit::text(&report)));
            written.push(self.write(&format!("{suite}.json"), json::text(&report)));
        }
        written.push(self.write("index.html", html::text(&self.run.report(None))));
        let written: anyhow::Result<()> = written.into_iter().collect();
        written.with_context(|| format!("cannot write reports into {}", self.folder.display()))?;
        self.changed = false;
        Ok(())
    }
}
