//! Interrupts at random moments. After one, the run leaves no files; after two, it names leftover files; the third ends the
//! process at once. The reports are complete each time.

use std::time::{Duration, Instant};

use file_simulator_e2e::sim::scenario::HEALTHY;

use crate::support::share;
use crate::support::simulated::Simulated;
use crate::support::test_cluster::TestCluster;
use crate::support::workspace::{LIMIT, RunResult, Workspace};

use super::program::start;
use super::{Moments, SUITES};

/// For cleaning up and writing the reports.
const BOUND: Duration = Duration::from_secs(95);
/// For exiting after the third interrupt.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The longest pause between two interrupts, in milliseconds.
const APART: u64 = 1500;

/// A run, and its interrupts: each with a pause after the previous one, or after the first report, and a signal.
#[derive(Debug, Clone)]
struct Plan {
    suite: &'static str,
    interrupts: Vec<(Duration, &'static str)>,
}

impl Plan {
    fn new(moments: &mut Moments, suite: &'static str, length: u64, interrupts: usize) -> Self {
        let signal = |moments: &mut Moments| if moments.before(2).is_zero() { "INT" } else { "TERM" };
        let interrupt = |number| (moments.before(if number == 0 { length } else { APART }), signal(moments));
        Self { suite, interrupts: (0..interrupts).map(interrupt).collect() }
    }

    /// Returns the problems; `inspect` returns the leftover files, and the pods unless all are Ready.
    fn run(
        &self,
        workspace: &Workspace,
        inspect: impl FnOnce(&RunResult) -> (Vec<String>, Option<String>),
    ) -> Vec<String> {
        let mut program = start(workspace, self.suite, &[]);
        let (mut sent, mut last) = (0, Instant::now());
        for (pause, signal) in &self.interrupts {
            // Deliberately not synchronized with the run.
            std::thread::sleep(*pause);
            if program.has_ended() {
                break;
            }
            program.signal(signal);
            (sent, last) = (sent + 1, Instant::now());
        }
        let ended = program.end(LIMIT);
        let after = last.elapsed();
        let (left, pods) = inspect(&ended);
        let left = match sent {
            0 | 1 => left,
            2 => ended.unnamed(&left),
            // No promise after three interrupts.
            _ => Vec::new(),
        };
        let codes = if ended.with("ERROR").is_empty() { &[0, 130][..] } else { &[130] };
        let mut problems = ended.problems(codes, (after, if sent == 3 { AT_ONCE } else { BOUND }), &left);
        let is_reported = sent > 1 && ended.all().contains("was not seen Ready again");
        problems.extend(pods.filter(|_| sent < 3 && !is_reported));
        println!("{self:?}: exit {}, {problems:#?}", ended.code);
        if !problems.is_empty() {
            println!("{}", ended.all());
        }
        problems.iter().map(|what| format!("{self:?}: {what}")).collect()
    }
}

pub fn a_run_can_be_stopped_at_any_moment() {
    let mut moments = Moments::new();
    // The first seconds suffice: after that the runs mostly wait.
    let one = SUITES.map(|(suite, length)| Plan::new(&mut moments, suite, length.min(3000), 1));
    let mut plans = one.to_vec();
    plans.extend([2, 3].map(|interrupts| Plan::new(&mut moments, "phase3", 3000, interrupts)));
    let run = |plan: &Plan| {
        let simulated = Simulated::named(HEALTHY);
        plan.run(&simulated.workspace(), |_| (simulated.leftovers(), None))
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = plans.iter().map(|plan| scope.spawn(move || run(plan))).collect();
        running.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

pub fn a_run_on_a_real_cluster_can_be_stopped_at_any_moment() {
    let (cluster, mut moments) = (TestCluster::find(), Moments::new());
    let once = if share::chosen().is_none() { 5 } else { 1 };
    let with = |interrupts: usize| SUITES.map(|(suite, length)| (suite, length, interrupts));
    let more = [with(2), with(3)].concat();
    let name = |(suite, _, interrupts): &_| format!("{suite} with {interrupts}");
    let more = share::deal("runs with several interrupts", more, name);
    let mut problems = Vec::new();
    for (suite, length, interrupts) in (0..once).flat_map(|_| with(1)).chain(more) {
        let plan = Plan::new(&mut moments, suite, length, interrupts);
        problems.extend(plan.run(&cluster.workspace(), |ended| {
            let pods = cluster.not_ready();
            (cluster.left_by(ended), pods)
        }));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
