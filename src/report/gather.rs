//! Builds the model of a run from its events. Tests without a result count as ERROR.

use std::time::Duration;

use super::grid;
use super::model::{Conclusion, Counts, FORMAT, Run, Test, Transfer, Transfers};
use super::text::{complete, headline};
use crate::event::{Ending, Event, Fact, Hop, Outcome, Planned, SIMULATED, TestId, Timeline, Verdict, millis};
use crate::profile::Profile;

impl Run {
    /// Applies an event. The counts and the grid are updated at the start and end of the run; otherwise call [`Self::settle`].
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::RunStarted { at, suites, tests } => {
                *self = Self {
                    format: FORMAT,
                    program: env!("CARGO_PKG_VERSION").to_owned(),
                    started: *at,
                    suites: suites.clone(),
                    tests: tests.iter().map(|test| Test::unfinished(test, "not finished")).collect(),
                    ..Self::default()
                };
                self.settle();
            }
            Event::Connected { facts } => {
                self.is_simulated = facts.iter().any(|fact| fact.name == SIMULATED);
                self.facts.clone_from(facts);
            }
            Event::TestFinished { id, verdict, elapsed, .. } => {
                let name = id.name();
                if let Some(test) = self.tests.iter_mut().find(|test| test.suite == id.suite && test.name == name) {
                    *test = Test::new(id, test.hops, verdict.clone(), *elapsed);
                    if let Some((context, namespace)) = place(&self.facts) {
                        for reason in &mut test.reasons {
                            reason.hint = complete(&reason.hint, context, namespace);
                        }
                    }
                }
            }
            Event::Diagnosed(diagnosis) => self.diagnosed.push(diagnosis.clone()),
            Event::Noticed(notice) => self.notices.push(notice.clone()),
            Event::RunFinished { ending, elapsed } => {
                self.millis = millis(*elapsed);
                if let Ending::Refused(why) = ending {
                    self.refuse(why);
                }
                self.conclusion = self.conclude(ending);
                self.exit_code = self.conclusion.exit().map(|exit| exit as u8);
                self.settle();
            }
            Event::TestWaiting { .. } | Event::Interrupted { .. } => {}
        }
    }

    pub fn settle(&mut self) {
        let number = |outcome| self.tests.iter().filter(|test| test.outcome == outcome).count();
        self.counts = Counts {
            tests: self.tests.len(),
            pass: number(Outcome::Pass),
            fail: number(Outcome::Fail),
            error: number(Outcome::Error),
            skip: number(Outcome::Skip),
            not_finished: self.tests.iter().filter(|test| !test.is_finished).count(),
        };
        self.grid = grid::rows(&self.tests);
    }

    /// The report of one suite; the conclusion is that of the whole run.
    #[must_use]
    pub fn of(&self, suite: &str) -> Self {
        let tests: Vec<Test> = self.tests.iter().filter(|test| test.suite == suite).cloned().collect();
        let is_of_a_test = |server: &String| tests.iter().any(|test| test.server.as_ref() == Some(server));
        let mut run = Self {
            program: self.program.clone(),
            refusal: self.refusal.clone(),
            facts: self.facts.clone(),
            suites: vec![suite.to_owned()],
            grid: Vec::new(),
            diagnosed: self.diagnosed.iter().filter(|its| is_of_a_test(&its.server)).cloned().collect(),
            notices: self.notices.clone(),
            tests,
            ..*self
        };
        run.settle();
        run
    }

    pub fn test(&self, id: &TestId) -> Option<&Test> {
        let name = id.name();
        self.tests.iter().find(|test| test.suite == id.suite && test.name == name)
    }

    fn refuse(&mut self, why: &str) {
        self.refusal = Some(why.to_owned());
        // A suite without tests must not look passed, either.
        for suite in &self.suites {
            if !self.tests.iter().any(|test| test.suite == *suite) {
                let id = TestId { suite: suite.clone(), slug: "start".to_owned(), server: None };
                self.tests.push(Test::unfinished(&Planned { id, hops: &[] }, ""));
            }
        }
        for test in &mut self.tests {
            test.summary = format!("could not start: {why}");
            test.headline = test.summary.replace('\n', " ");
        }
    }

    fn conclude(&self, ending: &Ending) -> Conclusion {
        let has = |outcome| self.tests.iter().any(|test| test.outcome == outcome);
        match ending {
            Ending::Refused(_) => Conclusion::Refused,
            Ending::Interrupted => Conclusion::Interrupted,
            Ending::Completed if has(Outcome::Fail) => Conclusion::Failed,
            Ending::Completed if has(Outcome::Error) || self.notices.iter().any(|notice| notice.is_error) => {
                Conclusion::CouldNotJudge
            }
            Ending::Completed if has(Outcome::Pass) => Conclusion::Passed,
            Ending::Completed => Conclusion::NothingJudged,
        }
    }
}

impl Test {
    fn new(id: &TestId, hops: &'static [Hop], verdict: Verdict, elapsed: Duration) -> Self {
        Self {
            suite: id.suite.clone(),
            name: id.name(),
            server: id.server.clone(),
            outcome: verdict.outcome,
            is_finished: true,
            millis: millis(elapsed),
            headline: headline(&verdict),
            // It describes success.
            summary: if verdict.reasons.is_empty() { verdict.summary } else { String::new() },
            reasons: verdict.reasons,
            notes: verdict.notes,
            hop: verdict.hop.map(Hop::word),
            blocked_by: verdict.blocked_by,
            transfers: verdict.timeline.as_deref().map(transfers),
            hops,
        }
    }

    fn unfinished(test: &Planned, why: &str) -> Self {
        let verdict = Verdict { outcome: Outcome::Error, ..Verdict::pass(why) };
        Self { is_finished: false, ..Self::new(&test.id, test.hops, verdict, Duration::ZERO) }
    }
}

/// The context and the namespace of the run, from its facts.
fn place(facts: &[Fact]) -> Option<(&str, &str)> {
    let value = |name| facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str());
    let (context, _) = value("cluster")?.split_once(" at http")?;
    Some((context, value("namespace")?))
}

fn transfers(timeline: &Timeline) -> Transfers {
    let files = timeline.files.iter().map(|(written, arrived)| Transfer { written: *written, arrived: *arrived });
    let files: Vec<Transfer> = files.collect();
    let took = files.iter().filter_map(|file| Some(file.arrived?.saturating_sub(file.written)));
    let profile = Profile::of(took.collect());
    Transfers { limit: timeline.limit, files, cycles: timeline.cycles.clone(), profile }
}
