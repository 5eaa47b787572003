//! Judges a recorded run again, without a cluster: the same verdicts and the same reports.

use std::sync::mpsc;
use std::time::Duration;

use crate::error::Refusal;
use crate::event::{Case, Ending, Event, Fact, Outcome, Verdict};
use crate::recording::{RecordedCase, Recording};
use crate::suite::{self, Suite};

/// Sends the events of a recorded run, with verdicts that are judged anew; returns their outcomes.
///
/// # Errors
/// A refusal with exit code 2: this program does not know the suites or observations of the recording.
pub fn replay(recording: &Recording, events: &mpsc::Sender<Event>) -> Result<Vec<Outcome>, Refusal> {
    let suites = recording.suites.iter().map(|suite| suite::load::parse(&suite.origin, &suite.text));
    let suites = suites.collect::<Result<Vec<_>, _>>()?;
    let send = |event| {
        // The reporting thread ends only after the last event.
        let _ = events.send(event);
    };
    let judged = recording.cases.iter().map(|case| judge(recording, &suites, case)).collect::<Result<Vec<_>, _>>()?;
    let known = |case: &RecordedCase| {
        let mut planned = suites.iter().flat_map(|suite| &suite.cases);
        let hops = planned.find(|planned| planned.id == case.id).map(|planned| planned.check.hops());
        Case { id: case.id.clone(), hops: hops.unwrap_or_default() }
    };
    let cases = recording.cases.iter().map(known).collect();
    send(Event::RunStarted { suites: suites.iter().map(|suite| suite.name.clone()).collect(), cases });
    let mut facts = recording.facts.clone();
    facts.push(Fact { name: "replayed".into(), value: "judged again from a recording, without a cluster".into() });
    send(Event::Connected { facts });
    let mut outcomes = Vec::new();
    for (case, verdict) in recording.cases.iter().zip(judged) {
        outcomes.push(verdict.outcome);
        send(Event::CaseFinished { id: case.id.clone(), verdict, elapsed: Duration::from_millis(case.millis) });
    }
    let elapsed = recording.cases.iter().map(|case| case.millis).max().unwrap_or_default();
    send(Event::RunFinished { ending: Ending::Completed, elapsed: Duration::from_millis(elapsed) });
    Ok(outcomes)
}

/// The verdict of a recorded test: of its observation, where it has one.
pub fn judge(recording: &Recording, suites: &[Suite], case: &RecordedCase) -> Result<Verdict, Refusal> {
    let Some(seen) = &case.seen else { return Ok(case.verdict.clone()) };
    let unknown =
        |what: String| Refusal::usage(format!("{}: {what}", case.id), "replay it with the version that recorded it");
    let mut planned = suites.iter().flat_map(|suite| &suite.cases);
    let planned = planned.find(|planned| planned.id == case.id);
    let check = &planned.ok_or_else(|| unknown("its suite has no such test".to_owned()))?.check;
    let mut seen = seen.clone();
    recording.objects.unpack(&mut seen).map_err(|key| unknown(format!("the recording lacks object {key}")))?;
    check.judge(seen).map_err(|error| unknown(format!("its observation cannot be read: {error}")))
}
