//! JUnit XML, one file for each suite, valid and complete at every moment of the run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use junit_report::{ReportBuilder, TestCase, TestCaseBuilder, TestSuiteBuilder};

use super::Reporter;
use super::text::{clean, count, details, headline, seconds};
use crate::event::{CaseId, Ending, Event, Outcome, Verdict};

/// Writes `<suite>.xml` into a folder.
pub struct Junit {
    folder: PathBuf,
    suites: Vec<String>,
    cases: Vec<(CaseId, Option<(Verdict, Duration)>)>,
    /// Facts and notices of the run, for system-out.
    facts: Vec<String>,
    /// What tests without a result say.
    unfinished: String,
    changed: bool,
}

impl Junit {
    /// Reports into `folder`, which is made when it is needed.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            suites: Vec::new(),
            cases: Vec::new(),
            facts: Vec::new(),
            unfinished: "not finished".to_owned(),
            changed: false,
        }
    }

    fn suite(&self, name: &str) -> junit_report::TestSuite {
        let mut suite = TestSuiteBuilder::new(name);
        for (id, result) in self.cases.iter().filter(|(id, _)| id.suite == name) {
            suite.add_testcase(self.case(id, result.as_ref()));
        }
        suite.set_system_out(&cdata(&self.facts.join("\n")));
        suite.build()
    }

    fn case(&self, id: &CaseId, result: Option<&(Verdict, Duration)>) -> TestCase {
        let name = clean(&id.name());
        let time = |elapsed: &Duration| {
            junit_report::Duration::milliseconds(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
        };
        let Some((verdict, elapsed)) = result else {
            let mut case = TestCaseBuilder::error(&name, junit_report::Duration::ZERO, "ERROR", &self.unfinished);
            return case.set_classname(&id.suite).build();
        };
        let (kind, message) = (verdict.outcome.to_string(), headline(verdict));
        let mut case = match verdict.outcome {
            Outcome::Pass => TestCaseBuilder::success(&name, time(elapsed)),
            Outcome::Fail => TestCaseBuilder::failure(&name, time(elapsed), &kind, &message),
            Outcome::Error => TestCaseBuilder::error(&name, time(elapsed), &kind, &message),
            Outcome::Skip => TestCaseBuilder::skipped_with_cause(&name, &kind, &message),
        };
        let details = details(verdict).join("\n");
        if verdict.outcome == Outcome::Pass {
            case.set_system_out(&cdata(format!("{}\n{details}", clean(&verdict.summary)).trim_end()));
        } else {
            case.set_trace(&cdata(&details));
        }
        case.set_classname(&id.suite).build()
    }

    /// Writes beside the file and renames, so that nobody ever reads half a report.
    fn write(&self, suite: &str) -> anyhow::Result<()> {
        let path = self.folder.join(format!("{suite}.xml"));
        let report = ReportBuilder::new().add_testsuite(self.suite(suite)).build();
        let mut text = Vec::new();
        report.write_xml(&mut text)?;
        fs::create_dir_all(&self.folder)?;
        let file = temporary(&self.folder)?;
        fs::write(file.path(), &text)?;
        file.persist(&path)?;
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

/// Text for a CDATA section, which must not contain its end.
fn cdata(text: &str) -> String {
    text.replace("]]>", "]] >")
}

impl Reporter for Junit {
    fn on(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::RunStarted { suites, cases, .. } => {
                self.suites.clone_from(suites);
                self.cases = cases.iter().map(|case| (case.id.clone(), None)).collect();
            }
            Event::Connected { facts, .. } => {
                self.facts.extend(facts.iter().map(|fact| clean(&format!("{}: {}", fact.name, fact.value))));
            }
            Event::CaseWaiting { .. }
            | Event::CaseObserved { .. }
            | Event::Diagnosed { .. }
            | Event::Interrupted { .. } => return Ok(()),
            Event::CaseFinished { id, verdict, elapsed } => {
                if let Some((_, result)) = self.cases.iter_mut().find(|(known, _)| known == id) {
                    *result = Some((verdict.clone(), *elapsed));
                }
            }
            Event::Noticed { text, .. } => self.facts.push(clean(text)),
            Event::RunFinished { ending, elapsed } => {
                let tests = count(self.cases.len(), "test");
                match ending {
                    Ending::Completed => self.facts.push(format!("{tests} in {}", seconds(*elapsed))),
                    Ending::Interrupted => self.facts.push(format!("interrupted after {}", seconds(*elapsed))),
                    Ending::Refused(why) => {
                        // A suite without a test of its own must be red too.
                        for suite in &self.suites {
                            if !self.cases.iter().any(|(id, _)| id.suite == *suite) {
                                self.cases.push((
                                    CaseId { suite: suite.clone(), slug: "start".to_owned(), server: None },
                                    None,
                                ));
                            }
                        }
                        self.unfinished = clean(&format!("could not start: {why}")).replace('\n', " ");
                        self.facts.push(clean(why));
                    }
                }
            }
        }
        self.changed = true;
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if !self.changed {
            return Ok(());
        }
        // Every suite is tried, whatever becomes of the others.
        let written: Vec<_> = self.suites.iter().map(|suite| self.write(suite)).collect();
        let written: anyhow::Result<()> = written.into_iter().collect();
        written.with_context(|| format!("cannot write reports into {}", self.folder.display()))?;
        self.changed = false;
        Ok(())
    }
}
