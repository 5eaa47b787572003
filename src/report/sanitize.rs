//! Sanitizes every event before the reporters receive it: output of pods may hold secrets and control characters. Pure.

use crate::event::{Ending, Event, TestId, Verdict};
use crate::redact::{self, clean, redact};

/// Removes secrets, and characters that control terminals or break XML.
pub fn sanitize(event: &mut Event) {
    match event {
        Event::RunStarted { suites, tests, .. } => {
            suites.iter_mut().for_each(name);
            for test in tests {
                of_id(&mut test.id);
            }
        }
        Event::Connected { facts } => {
            for fact in facts {
                name(fact.name.to_mut());
                text(&mut fact.value);
            }
        }
        Event::TestWaiting { id, what, .. } => {
            of_id(id);
            line(what);
        }
        // The observation goes only into the recording, where it must stay as it was.
        Event::TestFinished { id, verdict, .. } => {
            of_id(id);
            of_verdict(verdict);
        }
        Event::Diagnosed(diagnosis) => {
            name(&mut diagnosis.server);
            for section in &mut diagnosis.sections {
                text(&mut section.title);
                section.lines = redact(&section.lines.iter().map(|line| clean(line)).collect::<Vec<_>>());
            }
        }
        Event::Noticed(notice) => text(&mut notice.text),
        Event::RunFinished { ending: Ending::Refused(why), .. } => text(why),
        Event::Interrupted { .. } | Event::RunFinished { .. } => {}
    }
}

fn of_id(id: &mut TestId) {
    name(&mut id.suite);
    name(&mut id.slug);
    id.server.iter_mut().for_each(name);
}

fn of_verdict(verdict: &mut Verdict) {
    text(&mut verdict.summary);
    for reason in &mut verdict.reasons {
        line(&mut reason.object);
        text(&mut reason.expected);
        text(&mut reason.seen);
        text(&mut reason.hint);
    }
    verdict.notes.iter_mut().for_each(text);
    verdict.blocked_by.iter_mut().for_each(name);
}

/// Cleans a name without redacting it: it must stay the same everywhere.
fn name(name: &mut String) {
    *name = clean(name).replace('\n', " ");
}

fn text(text: &mut String) {
    *text = redact::text(text);
}

fn line(line: &mut String) {
    *line = redact::text(line).replace('\n', " ");
}
