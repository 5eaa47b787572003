//! Requests to stop at random moments. After one nothing is left, after two all that is left is named, three end the
//! process at once; the reports are whole every time.

use std::time::{Duration, Instant};

use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::lab::Lab;
use crate::support::place::{Ended, LIMIT, Place};
use crate::support::share;
use crate::support::simulated::Simulated;

use super::program::start;
use super::{Moments, SUITES};

/// The longest that tidying up may take, and writing the reports.
const BOUND: Duration = Duration::from_secs(95);
/// The longest from the third request to the end.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How far requests are apart at the most, in milliseconds.
const APART: u64 = 1500;

/// A run, and when it is asked to stop: after its first report, and after the request before.
#[derive(Debug, Clone)]
struct Plan {
    suite: &'static str,
    requests: Vec<(Duration, &'static str)>,
}

impl Plan {
    fn new(moments: &mut Moments, suite: &'static str, length: u64, requests: usize) -> Self {
        let kind = |moments: &mut Moments| if moments.before(2).is_zero() { "INT" } else { "TERM" };
        let request = |number| (moments.before(if number == 0 { length } else { APART }), kind(moments));
        Self { suite, requests: (0..requests).map(request).collect() }
    }

    /// Runs it, and says what is not as it should be; `look` tells afterwards which files are left, and what the servers are if
    /// not all are Ready.
    fn run(&self, place: &Place, look: impl FnOnce(&Ended) -> (Vec<String>, Option<String>)) -> Vec<String> {
        let mut program = start(place, self.suite, &[]);
        let (mut sent, mut last) = (0, Instant::now());
        for (pause, signal) in &self.requests {
            // Any moment is meant; there is nothing to wait for.
            std::thread::sleep(*pause);
            if program.has_ended() {
                break;
            }
            program.signal(signal);
            (sent, last) = (sent + 1, Instant::now());
        }
        let ended = program.end(LIMIT);
        let after = last.elapsed();
        let (left, pods) = look(&ended);
        let left = match sent {
            0 | 1 => left,
            2 => ended.untold(&left),
            // Nothing more is promised.
            _ => Vec::new(),
        };
        let codes = if ended.with("ERROR").is_empty() { &[0, 130][..] } else { &[130] };
        let mut problems = ended.problems(codes, (after, if sent == 3 { AT_ONCE } else { BOUND }), &left);
        let is_told = sent > 1 && ended.all().contains("was not seen Ready again");
        problems.extend(pods.filter(|_| sent < 3 && !is_told));
        println!("{self:?}: exit {}, {problems:#?}", ended.code);
        if !problems.is_empty() {
            println!("{}", ended.all());
        }
        problems.iter().map(|what| format!("{self:?}: {what}")).collect()
    }
}

pub fn a_run_can_be_stopped_at_any_moment() {
    let mut moments = Moments::new();
    // Short, because most of the time they only wait.
    let one = SUITES.map(|(suite, length)| Plan::new(&mut moments, suite, length.min(3000), 1));
    let mut plans = one.to_vec();
    plans.extend([2, 3].map(|requests| Plan::new(&mut moments, "phase3", 3000, requests)));
    let run = |plan: &Plan| {
        let simulated = Simulated::named(HEALTHY);
        plan.run(&simulated.place(), |_| (simulated.left(), None))
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = plans.iter().map(|plan| scope.spawn(move || run(plan))).collect();
        running.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

pub fn a_run_on_a_real_cluster_can_be_stopped_at_any_moment() {
    let (lab, mut moments) = (Lab::find(), Moments::new());
    let once = if share::chosen().is_none() { 5 } else { 1 };
    let with = |requests: usize| SUITES.map(|(suite, length)| (suite, length, requests));
    let more = [with(2), with(3)].concat();
    let more = share::deal("runs stopped again", more, |(suite, _, requests)| format!("{suite} with {requests}"));
    let mut problems = Vec::new();
    for (suite, length, requests) in (0..once).flat_map(|_| with(1)).chain(more) {
        let plan = Plan::new(&mut moments, suite, length, requests);
        problems.extend(plan.run(&lab.place(), |ended| {
            let pods = lab.not_ready();
            (lab.left_by(ended), pods)
        }));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
