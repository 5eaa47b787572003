//! Requests to stop at random moments. After one nothing is left, after two all that is left is named, three end the
//! process at once; the reports are whole every time.

use std::time::{Duration, Instant};

use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::lab::Lab;
use crate::support::place::{Ended, LIMIT, Place};
use crate::support::share;
use crate::support::simulated::Simulated;
use crate::support::speed;

use super::{SUITES, moment, start};

/// The longest that tidying up may take, and writing the reports.
const BOUND: Duration = Duration::from_secs(95);
/// The longest from the third request to the end.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How far requests are apart at the most, in milliseconds.
const APART: u64 = 1500;

/// Runs a suite of about this length, asks it to stop so many times, and says what is not as it should be; `look` tells afterwards
/// which files are left, and what the servers are if not all are Ready.
fn stopped(
    place: &Place,
    (suite, length, requests): (&str, u64, usize),
    look: impl FnOnce(&Ended) -> (Vec<String>, Option<String>),
) -> Vec<String> {
    let mut program = start(place, suite, &[]);
    let (mut sent, mut last) = (Vec::new(), Instant::now());
    for number in 0..requests {
        // Any moment is meant; there is nothing to wait for.
        let pause = moment(if number == 0 { length } else { APART });
        std::thread::sleep(pause);
        if program.has_ended() {
            break;
        }
        let signal = if rand::random() { "INT" } else { "TERM" };
        program.signal(signal);
        last = Instant::now();
        sent.push((pause, signal));
    }
    let ended = program.end(LIMIT);
    let after = last.elapsed();
    let (left, pods) = look(&ended);
    let left = match sent.len() {
        0 | 1 => left,
        2 => ended.untold(&left),
        // Nothing more is promised.
        _ => Vec::new(),
    };
    let mut problems = ended.problems(suite, &left);
    let errors = ended.with("ERROR").len();
    if !matches!((ended.code, errors), (130, _) | (0, 0)) {
        problems.push(format!("exit code {} with {errors} ERROR", ended.code));
    }
    if after > speed::scaled(if sent.len() == 3 { AT_ONCE } else { BOUND }) {
        problems.push(format!("it took {after:?} to end"));
    }
    let is_told = sent.len() > 1 && ended.all().contains("was not seen Ready again");
    problems.extend(pods.filter(|_| sent.len() < 3 && !is_told));
    println!("{suite}, asked to stop {sent:?}: exit {}, {problems:#?}", ended.code);
    if !problems.is_empty() {
        println!("{}", ended.all());
    }
    problems.iter().map(|what| format!("{suite}, asked to stop {sent:?}: {what}")).collect()
}

pub fn a_run_can_be_stopped_at_any_moment() {
    // Short, because most of the time they only wait.
    let mut runs = SUITES.map(|(suite, length)| (suite, length.min(3000), 1)).to_vec();
    runs.extend([("phase3", 3000, 2), ("phase3", 3000, 3)]);
    let stopped = |run| {
        let simulated = Simulated::named(HEALTHY);
        stopped(&simulated.place(), run, |_| (simulated.left(), None))
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = runs.into_iter().map(|run| scope.spawn(move || stopped(run))).collect();
        running.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

pub fn a_run_on_a_real_cluster_can_be_stopped_at_any_moment() {
    let lab = Lab::find();
    let once = if share::chosen().is_none() { 5 } else { 1 };
    let with = |requests: usize| SUITES.map(|(suite, length)| (suite, length, requests));
    let more = [with(2), with(3)].concat();
    let more = share::deal("runs stopped again", more, |(suite, _, requests)| format!("{suite} with {requests}"));
    let mut problems = Vec::new();
    for run in (0..once).flat_map(|_| with(1)).chain(more) {
        problems.extend(stopped(&lab.place(), run, |ended| {
            let pods = lab.not_ready();
            (lab.left_by(ended), pods)
        }));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
