//! Our suites compared with the old script's queries.

use super::kubectl;
use super::measure::{Api, Cost, cost, median, ours};

/// Runs both alternately.
pub fn compare(rounds: usize) {
    let idle = Api::idle();
    println!("## Side by side\n");
    println!("| run | time | client CPU | client memory | API server CPU | requests | commands |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (suite, theirs) in
        [("phase2", kubectl::phase2 as fn() -> u64), ("phase3", kubectl::phase3), ("smoke", kubectl::smoke)]
    {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            costs[0].push(cost(idle, theirs));
            costs[1].push(cost(idle, || ours(&["--suite", suite])));
        }
        let faster = costs[0].iter().zip(&costs[1]).map(|(theirs, ours)| theirs.time / ours.time).collect();
        let [theirs, ours] = costs.map(|costs| median_cost(&costs));
        row(&format!("`kubectl`, queries of {suite}"), theirs);
        row(&format!("`--suite {suite}`: {:.1} times as fast", median(faster)), ours);
    }
    println!();
}

fn row(name: &str, cost: Cost) {
    let Cost { time, cpu, memory, api } = cost;
    println!(
        "| {name} | {time:.2} s | {cpu:.2} s | {memory:.0} MiB | {:.2} s | {:.0} | {:.0} |",
        api.cpu, api.requests, api.execs
    );
}

/// The median of each figure.
pub fn median_cost(costs: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| median(costs.iter().map(figure).collect());
    Cost {
        time: of(|cost| cost.time),
        cpu: of(|cost| cost.cpu),
        memory: of(|cost| cost.memory),
        api: Api {
            cpu: of(|cost| cost.api.cpu),
            requests: of(|cost| cost.api.requests),
            execs: of(|cost| cost.api.execs),
        },
    }
}
