//! Judges a recorded run again and writes its reports, without a cluster.

use std::sync::mpsc;
use std::time::Duration;

use crate::error::Refusal;
use crate::event::{Diagnosis, Event, Fact, Notice, Planned, Reason, TestId, Verdict};
use crate::recording::{RecordedTest, Recording};
use crate::suite::{self, PlannedTest, Suite};

/// Sends the events of a recorded run, with new verdicts.
/// Errors: this program cannot read the recording's suites: exit code 2.
pub fn replay(recording: &Recording, events: &mpsc::Sender<Event>) -> Result<(), Refusal> {
    let suites = recording.suites.iter().map(suite::load::recorded);
    let suites = suites.collect::<Result<Vec<_>, _>>()?;
    let send = |event| {
        // The reporting thread outlives all senders.
        let _ = events.send(event);
    };
    let plan = |id: &TestId| {
        let hops = planned(&suites, id).map(|(_, planned)| planned.check.info().hops);
        Planned { id: id.clone(), hops: hops.unwrap_or_default() }
    };
    let names = suites.iter().map(|suite| suite.name.clone()).collect();
    let at = recording.started.unwrap_or_default();
    send(Event::RunStarted { at, suites: names, tests: recording.planned.iter().map(plan).collect() });
    let mut facts = recording.facts.clone();
    let replayed = format!("recorded by version {}, judged again without a cluster", recording.program);
    facts.push(Fact { name: "replayed".into(), value: replayed });
    send(Event::Connected { facts });
    for test in &recording.tests {
        let verdict = judge(recording, &suites, test);
        if verdict.outcome != test.verdict.outcome {
            let text = format!("{} was {} in the recorded run", test.id, test.verdict.outcome);
            send(Event::Noticed(Notice { text, is_error: false }));
        }
        let elapsed = Duration::from_millis(test.millis);
        send(Event::TestFinished { id: test.id.clone(), verdict, elapsed, seen: None });
    }
    for (server, sections) in recording.diagnosed.clone() {
        send(Event::Diagnosed(Diagnosis { server, sections }));
    }
    for (text, is_error) in recording.notices.clone() {
        send(Event::Noticed(Notice { text, is_error }));
    }
    let (ending, elapsed) = (recording.ending.clone(), Duration::from_millis(recording.millis));
    send(Event::RunFinished { ending, elapsed });
    Ok(())
}

/// Judges a recorded observation again; a test without one keeps its verdict. An unreadable observation is an ERROR.
pub fn judge(recording: &Recording, suites: &[Suite], test: &RecordedTest) -> Verdict {
    let Some(seen) = &test.seen else { return test.verdict.clone() };
    let unreadable = |why: String| {
        let reason = Reason::new(format!("recording of {}", test.id), "a readable observation", why);
        Verdict::error(reason.hint(format!("replay it with version {}, which recorded it", recording.program)))
    };
    let Some((suite, planned)) = planned(suites, &test.id) else {
        return unreadable("the recorded suite has no such test".to_owned());
    };
    let mut seen = seen.clone();
    if let Err(key) = recording.objects.unpack(&mut seen) {
        return unreadable(format!("the recording lacks object {key}"));
    }
    let mut verdict = planned.check.judge(&suite.system, seen).unwrap_or_else(|error| unreadable(error.to_string()));
    let tests = || suites.iter().flat_map(|suite| &suite.tests);
    verdict.blocked_by = verdict.blocked_by.and_then(|by| suite::blocker(&by, &test.id, tests()));
    verdict
}

fn planned<'a>(suites: &'a [Suite], id: &TestId) -> Option<(&'a Suite, &'a PlannedTest)> {
    let mut all = suites.iter().flat_map(|suite| suite.tests.iter().map(move |test| (suite, test)));
    all.find(|(_, planned)| planned.id == *id)
}
