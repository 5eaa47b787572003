//! Requests to stop at random moments. After one nothing is left, after two all that is left is named, three end the
//! process at once; the reports are whole every time.

use std::time::{Duration, Instant};

use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::lab::Lab;
use crate::support::place::{Ended, LIMIT, Place};
use crate::support::share::Share;
use crate::support::simulated::Simulated;
use crate::support::speed;

use super::program::start;
use super::{Moments, number, servers, share, suites};

/// The longest that tidying up may take, and writing the reports.
const BOUND: Duration = Duration::from_secs(95);
/// The longest from the third request to the end.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How far requests are apart at the most, in milliseconds.
const APART: u64 = 1500;

/// What a run takes besides its suite, in milliseconds: about so much.
const BESIDES: u64 = 8000;

/// A run, and when it is asked to stop: after its first report, and after the request before.
#[derive(Debug, Clone)]
struct Plan {
    suite: &'static str,
    requests: Vec<(Duration, &'static str)>,
}

/// What came of it.
struct Stopped {
    ended: Ended,
    /// How many requests were sent before it ended.
    sent: usize,
    /// From the last of them to the end.
    after: Duration,
}

impl Plan {
    fn new(moments: &mut Moments, suite: &'static str, length: u64, requests: usize) -> Self {
        let kind = |moments: &mut Moments| if moments.before(2).is_zero() { "INT" } else { "TERM" };
        let request = |number| (moments.before(if number == 0 { length } else { APART }), kind(moments));
        Self { suite, requests: (0..requests).map(request).collect() }
    }

    fn run(&self, place: &Place) -> Stopped {
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
        Stopped { ended: program.end(LIMIT), sent, after: last.elapsed() }
    }
}

impl Stopped {
    /// What is not as it should be; `left` has the files that were found afterwards.
    fn problems(&self, left: &[String]) -> Vec<String> {
        let Self { ended, sent, after } = self;
        let mut problems = ended.missing();
        let all_ran = ended.count("ERROR") == 0;
        if !matches!((ended.code, all_ran), (130, _) | (0, true)) {
            problems.push(format!("exit code {} with {} ERROR", ended.code, ended.count("ERROR")));
        }
        if ended.count("FAIL") > 0 {
            problems.push("a FAIL".to_owned());
        }
        let bound = if *sent == 3 { AT_ONCE } else { BOUND };
        if *after > speed::scaled(bound) {
            problems.push(format!("it took {after:?} to end"));
        }
        let left = match sent {
            0 | 1 => left.to_vec(),
            2 => ended.untold(left),
            // Nothing more is promised.
            _ => Vec::new(),
        };
        problems.extend(left.iter().map(|path| format!("left behind: {path}")));
        problems
    }
}

/// How many of what kind there were.
#[derive(Debug, Default)]
struct Counts {
    interrupted: usize,
    had_ended: usize,
    left: usize,
}

impl Counts {
    fn take(&mut self, stopped: &Stopped, left: &[String]) {
        let is_interrupted = stopped.ended.code == 130;
        self.interrupted += usize::from(is_interrupted);
        self.had_ended += usize::from(!is_interrupted);
        self.left += left.len();
    }
}

pub fn a_run_can_be_stopped_at_any_moment() {
    let mut moments = Moments::new();
    // Short, because most of the time they only wait.
    let one = suites().into_iter().map(|(suite, length)| Plan::new(&mut moments, suite, length.min(3000), 1));
    let mut plans: Vec<Plan> = one.collect();
    plans.extend([2, 3].map(|requests| Plan::new(&mut moments, "phase3", 3000, requests)));
    let run = |plan: &Plan| {
        let simulated = Simulated::named(HEALTHY);
        let stopped = plan.run(&simulated.place());
        let left: Vec<String> = simulated.files("e2e-").iter().map(|path| path.display().to_string()).collect();
        let found = stopped.problems(&left);
        if !found.is_empty() {
            println!("{plan:?}: {found:#?}\n{}", stopped.ended.all());
        }
        found.iter().map(|what| format!("{plan:?}: {what}")).collect::<Vec<_>>()
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = plans.iter().map(|plan| scope.spawn(move || run(plan))).collect();
        running.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// How many runs there are of each suite with so many requests, and of which length.
fn real() -> Vec<(&'static str, u64, usize, u64)> {
    let (share, suites) = (share(), suites());
    let [once, twice, thrice] = ["MOMENTS", "TWICE", "THRICE"].map(number);
    let with =
        |requests: usize, times: u64| suites.iter().map(move |(suite, length)| (*suite, *length, requests, times));
    let once = once.unwrap_or(if share == Share::All { 5 } else { 1 });
    let more = with(2, twice.unwrap_or(1)).chain(with(3, thrice.unwrap_or(1))).collect();
    let cost =
        |(suite, length, requests, _): &(&str, u64, usize, u64)| (format!("{suite} with {requests}"), length + BESIDES);
    with(1, once).chain(share.deal("runs with more than one request to stop", more, cost)).collect()
}

pub fn a_run_on_a_real_cluster_can_be_stopped_at_any_moment() {
    let (lab, mut moments) = (Lab::find(), Moments::new());
    let mut problems = Vec::new();
    for (suite, length, requests, times) in real() {
        let mut counts = Counts::default();
        for _ in 0..times {
            let plan = Plan::new(&mut moments, suite, length, requests);
            let stopped = plan.run(&lab.place());
            let is_told = stopped.sent > 1 && stopped.ended.all().contains("was not seen Ready again");
            let pods = servers::not_ready(&lab);
            servers::wait_for("Ready servers", || servers::not_ready(&lab).is_empty());
            let left = servers::leftovers(&lab, stopped.ended.run());
            let mut found = stopped.problems(&left);
            if stopped.sent < 3 && !is_told {
                found.extend(pods);
            }
            if !found.is_empty() {
                println!("{plan:?}: {found:#?}\n{}", stopped.ended.all());
            }
            problems.extend(found.iter().map(|what| format!("{plan:?}: {what}")));
            if !left.is_empty() {
                servers::remove(&lab);
            }
            counts.take(&stopped, &left);
        }
        println!("{suite}, {requests} requests: {counts:?}");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
