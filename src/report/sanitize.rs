//! Events as other people may see them: what tests saw of pods is the words of strangers, and may hold secrets. No reporter
//! gets anything else. Pure.

use crate::event::{Case, CaseId, Diagnosis, Ending, Event, Fact, Notice, Reason, Section, Verdict};
use crate::redact::{clean, redact, text};

/// The same event without secrets, and without what steers terminals or breaks XML.
pub fn sanitized(event: Event) -> Event {
    match event {
        Event::RunStarted { at, suites, cases } => {
            let case = |case: Case| Case { id: of_id(&case.id), ..case };
            let suites = suites.iter().map(|suite| name(suite)).collect();
            Event::RunStarted { at, suites, cases: cases.into_iter().map(case).collect() }
        }
        Event::Connected { facts } => {
            let fact = |fact: &Fact| Fact { name: name(&fact.name).into(), value: text(&fact.value) };
            Event::Connected { facts: facts.iter().map(fact).collect() }
        }
        Event::CaseWaiting { id, what, limit } => {
            Event::CaseWaiting { id: of_id(&id), what: text(&what).replace('\n', " "), limit }
        }
        // What was observed is for judging it again, and goes into the recording that was asked for alone.
        Event::CaseFinished { id, verdict, elapsed, seen } => {
            Event::CaseFinished { id: of_id(&id), verdict: of_verdict(verdict), elapsed, seen }
        }
        Event::Diagnosed(Diagnosis { server, sections }) => {
            let section = |section: Section| Section { title: text(&section.title), lines: lines(&section.lines) };
            let sections = sections.into_iter().map(section).collect();
            Event::Diagnosed(Diagnosis { server: name(&server), sections })
        }
        Event::Noticed(notice) => Event::Noticed(Notice { text: text(&notice.text), ..notice }),
        Event::RunFinished { ending: Ending::Refused(why), elapsed } => {
            Event::RunFinished { ending: Ending::Refused(text(&why)), elapsed }
        }
        Event::Interrupted { .. } | Event::RunFinished { .. } => event,
    }
}

fn of_id(id: &CaseId) -> CaseId {
    CaseId { suite: name(&id.suite), slug: name(&id.slug), server: id.server.as_deref().map(name) }
}

/// A name, which is no secret and stays the same wherever it stands.
fn name(text: &str) -> String {
    clean(text).replace('\n', " ")
}

fn of_verdict(verdict: Verdict) -> Verdict {
    let reason = |reason: Reason| Reason {
        object: text(&reason.object).replace('\n', " "),
        expected: text(&reason.expected),
        seen: text(&reason.seen),
        hint: text(&reason.hint),
    };
    Verdict {
        summary: text(&verdict.summary),
        reasons: verdict.reasons.into_iter().map(reason).collect(),
        notes: texts(&verdict.notes),
        blocked_by: verdict.blocked_by.map(|by| name(&by)),
        ..verdict
    }
}

fn texts(texts: &[String]) -> Vec<String> {
    texts.iter().map(|one| text(one)).collect()
}

fn lines(lines: &[String]) -> Vec<String> {
    redact(&lines.iter().map(|line| clean(line)).collect::<Vec<_>>())
}
