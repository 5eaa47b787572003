//! Gathers a run's events, and tells of them at any moment what a report needs. Tests without a result are errors.

use std::time::Duration;

use jiff::Timestamp;

use super::grid;
use super::model::{Conclusion, Counts, Diagnosis, FORMAT, Notice, RunReport, TestReport, Transfer, Transfers};
use super::text::{details, headline};
use crate::error::Exit;
use crate::event::{Case, CaseId, Ending, Event, Fact, Outcome, SIMULATED, Timeline, Verdict, millis};
use crate::profile::Profile;

#[derive(Debug, Default)]
pub struct Gathered {
    started: Timestamp,
    pub suites: Vec<String>,
    cases: Vec<(Case, Option<(Verdict, Duration)>)>,
    facts: Vec<Fact>,
    diagnosed: Vec<Diagnosis>,
    notices: Vec<Notice>,
    ending: Option<(Ending, Duration)>,
}

impl Gathered {
    /// Takes in an event; says whether it changes a report.
    pub fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::RunStarted { at, suites, cases } => {
                self.started = *at;
                self.suites.clone_from(suites);
                self.cases = cases.iter().map(|case| (case.clone(), None)).collect();
            }
            Event::Connected { facts } => self.facts.clone_from(facts),
            Event::CaseWaiting { .. } | Event::CaseObserved { .. } | Event::Interrupted { .. } => return false,
            Event::CaseFinished { id, verdict, elapsed } => {
                if let Some((_, result)) = self.cases.iter_mut().find(|(case, _)| case.id == *id) {
                    *result = Some((verdict.clone(), *elapsed));
                }
            }
            Event::Diagnosed { server, sections } => {
                self.diagnosed.push(Diagnosis { server: server.clone(), sections: sections.clone() });
            }
            Event::Noticed { text, is_error } => self.notices.push(Notice { text: text.clone(), is_error: *is_error }),
            Event::RunFinished { ending, elapsed } => {
                // A suite without a test of its own must be red too.
                for suite in self.suites.iter().filter(|_| matches!(ending, Ending::Refused(_))) {
                    if !self.cases.iter().any(|(case, _)| case.id.suite == *suite) {
                        let id = CaseId { suite: suite.clone(), slug: "start".to_owned(), server: None };
                        self.cases.push((Case { id, hops: &[] }, None));
                    }
                }
                self.ending = Some((ending.clone(), *elapsed));
            }
        }
        true
    }

    /// The run as it stands; of one suite, or of all.
    pub fn report(&self, suite: Option<&str>) -> RunReport {
        let is_asked = |name: &String| suite.is_none_or(|suite| suite == name);
        let cases = || self.cases.iter().filter(|(case, _)| is_asked(&case.id.suite));
        let refusal = match &self.ending {
            Some((Ending::Refused(why), _)) => Some(why.clone()),
            _ => None,
        };
        let why = refusal.as_ref().map_or_else(|| "not finished".to_owned(), |why| format!("could not start: {why}"));
        let tests: Vec<TestReport> = cases()
            .map(|(case, result)| {
                let unfinished = || Verdict { outcome: Outcome::Error, ..Verdict::judged(&why, Vec::new()) };
                let (verdict, elapsed) = result.clone().unwrap_or_else(|| (unfinished(), Duration::ZERO));
                TestReport { is_finished: result.is_some(), ..test(&case.id, verdict, elapsed) }
            })
            .collect();
        let judged = cases().map(|(case, result)| (case, result.as_ref().map(|(verdict, _)| verdict)));
        let (conclusion, exit) = self.conclusion();
        let is_of_a_test = |server: &String| tests.iter().any(|test| test.server.as_ref() == Some(server));
        RunReport {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            millis: self.ending.as_ref().map_or(0, |(_, elapsed)| millis(*elapsed)),
            conclusion,
            exit_code: exit.map(|exit| exit as u8),
            refusal,
            is_simulated: self.facts.iter().any(|fact| fact.name == SIMULATED),
            facts: self.facts.clone(),
            suites: self.suites.iter().filter(|name| is_asked(name)).cloned().collect(),
            counts: counts(&tests),
            grid: grid::rows(judged),
            diagnosed: self
                .diagnosed
                .iter()
                .filter(|known| suite.is_none() || is_of_a_test(&known.server))
                .cloned()
                .collect(),
            notices: self.notices.clone(),
            tests,
        }
    }

    /// Of the whole run, also in the report of a suite.
    fn conclusion(&self) -> (Conclusion, Option<Exit>) {
        let ending = match &self.ending {
            None => return (Conclusion::NotFinished, None),
            Some((Ending::Refused(_), _)) => return (Conclusion::Refused, None),
            Some((ending, _)) => ending,
        };
        let outcomes =
            self.cases.iter().map(|(_, result)| result.as_ref().map_or(Outcome::Error, |(verdict, _)| verdict.outcome));
        let errors = self.notices.iter().filter(|notice| notice.is_error).map(|_| Outcome::Error);
        let exit = Exit::of(ending, &outcomes.chain(errors).collect::<Vec<_>>());
        let conclusion = match exit {
            Exit::Passed => Conclusion::Passed,
            Exit::Failed => Conclusion::Failed,
            Exit::Nothing => Conclusion::NothingJudged,
            Exit::Interrupted => Conclusion::Interrupted,
            Exit::Usage | Exit::CouldNotJudge => Conclusion::CouldNotJudge,
        };
        (conclusion, Some(exit))
    }
}

pub fn test(id: &CaseId, verdict: Verdict, elapsed: Duration) -> TestReport {
    TestReport {
        suite: id.suite.clone(),
        name: id.name(),
        server: id.server.clone(),
        outcome: verdict.outcome,
        is_finished: true,
        millis: millis(elapsed),
        headline: headline(&verdict),
        details: details(&verdict),
        // It says how all is well.
        summary: if verdict.reasons.is_empty() { verdict.summary } else { String::new() },
        reasons: verdict.reasons,
        notes: verdict.notes,
        hop: verdict.hop.map(|hop| hop.to_string()),
        blocked_by: verdict.blocked_by,
        transfers: verdict.timeline.as_deref().map(transfers),
    }
}

fn transfers(timeline: &Timeline) -> Transfers {
    let files = timeline.files.iter().map(|(written, arrived)| Transfer { written: *written, arrived: *arrived });
    let files: Vec<Transfer> = files.collect();
    let took = files.iter().filter_map(|file| Some(file.arrived?.saturating_sub(file.written)));
    let profile = Profile::of(took.collect());
    Transfers { limit: timeline.limit, files, cycles: timeline.cycles.clone(), profile }
}

fn counts(tests: &[TestReport]) -> Counts {
    let number = |outcome| tests.iter().filter(|test| test.outcome == outcome).count();
    Counts {
        tests: tests.len(),
        pass: number(Outcome::Pass),
        fail: number(Outcome::Fail),
        error: number(Outcome::Error),
        skip: number(Outcome::Skip),
        not_finished: tests.iter().filter(|test| !test.is_finished).count(),
    }
}
