//! What more servers cost on a simulated API, and what other people's objects cost on the real one.

use std::fs;
use std::path::Path;

use file_simulator_e2e::sim::Simulation;
use file_simulator_e2e::sim::scenario::Scenario;
use serde_json::json;
use tokio::runtime::Runtime;

use super::kubectl::SERVERS;
use super::measure::{Cost, kubectl, ours, own};
use super::side_by_side::middle;

/// So many servers.
const SIZES: [usize; 3] = [7, 70, 400];
/// So many objects of each kind are other people's.
const STRANGERS: usize = 5_000;
/// Measures both, and prints tables and a plot.
pub fn grow(rounds: usize) {
    let runtime = Runtime::new().expect("threads");
    println!("## Growth\n");
    println!("| `phase2` of | time | CPU of the client | its memory |\n| --- | --- | --- | --- |");
    let simulated = SIZES.map(|servers| {
        let cost = simulated(&runtime, servers, rounds);
        row(&format!("{servers} simulated servers"), cost);
        cost
    });
    let real = || middle(&(0..rounds).map(|_| own(|| ours(&["--suite", "phase2"]))).collect::<Vec<_>>());
    // Of a run that was stopped.
    remove_strangers();
    row("7 servers", real());
    make_strangers();
    let crowded = std::panic::catch_unwind(real);
    remove_strangers();
    let crowded = crowded.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    row(&format!("7 servers among {STRANGERS} other Pods, ReplicaSets and Services each"), crowded);
    plot(simulated);
}

fn row(name: &str, Cost { time, cpu, memory, .. }: Cost) {
    println!("| {name} | {time:.2} s | {cpu:.2} s | {memory:.0} MiB |");
}

fn plot(costs: [Cost; 3]) {
    let line = |figure: fn(&Cost) -> f64| {
        costs.iter().map(|cost| format!("{:.1}", figure(cost))).collect::<Vec<_>>().join(", ")
    };
    let sizes = SIZES.map(|size| size.to_string()).join(", ");
    for (title, unit, values) in
        [("Time of phase2", "s", line(|cost| cost.time)), ("Memory of phase2", "MiB", line(|cost| cost.memory))]
    {
        println!(
            "\n```mermaid\nxychart-beta\n  title \"{title}\"\n  x-axis \"servers\" [{sizes}]\n  y-axis \"{unit}\"\n  bar [{values}]\n```"
        );
    }
}

/// What `phase2` of so many simulated servers costs.
fn simulated(runtime: &Runtime, servers: usize, rounds: usize) -> Cost {
    let scenario = json!({"name": "growth", "broken": "nothing", "faults": [{"servers": servers}]});
    let scenario: Scenario = serde_json::from_value(scenario).expect("a scenario");
    let simulation = runtime.block_on(Simulation::start(scenario, 2)).unwrap_or_else(|refusal| panic!("{refusal}"));
    let folder = tempfile::tempdir().expect("a folder");
    let suite = folder.path().join("phase2.yaml");
    fs::write(&suite, suite_of(servers)).expect("the suite is written");
    let target = simulation.target();
    let path = |path: &Path| path.display().to_string();
    let kubeconfig = path(target.kubeconfig.as_deref().expect("one of its own"));
    let (suite, data) = (path(&suite), path(simulation.data()));
    let (of_suite, at) = (["--suite", &suite, "--kubeconfig", &kubeconfig], ["--context", &target.context]);
    let run = || ours(&[&of_suite[..], &at, &["--host-data", &data]].concat());
    let costs: Vec<Cost> = (0..rounds).map(|_| own(run)).collect();
    middle(&costs)
}

/// The suite phase2 for so many servers, named as the simulation names them.
fn suite_of(servers: usize) -> String {
    let text = include_str!("../../suites/phase2.yaml");
    let mut roles = [("input", Vec::new()), ("backup", Vec::new()), ("output", Vec::new())];
    for number in 0..servers {
        let (like, copy) = (SERVERS[number % SERVERS.len()], number / SERVERS.len());
        let name = if copy == 0 { like.to_owned() } else { format!("{like}-{copy}") };
        let (_, names) = roles.iter_mut().find(|(role, _)| like.contains(role)).expect("it has a role");
        names.push(name);
    }
    let roles = roles.map(|(role, names)| format!("  {role}: [{}]\n", names.join(", "))).concat();
    let (head, rest) = text.split_once("\nservers:\n").expect("it has servers");
    let (_, tests) = rest.split_once("\n\n").expect("a blank line follows them");
    format!("{head}\nservers:\n{roles}\n{tests}")
}

/// Makes other people's objects: pods that nobody schedules, ReplicaSets without pods, Services without an address.
fn make_strangers() {
    let container = json!({"name": "one", "image": "none", "env": [{"name": "FILLER", "value": "x".repeat(1000)}]});
    let labels = json!({"bench": "stranger", "app": "other"});
    let pod = json!({"schedulerName": "nobody", "containers": [container]});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let set = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    let service = json!({"clusterIP": "None", "ports": [{"port": 80}]});
    let mut items = Vec::new();
    for (version, kind, spec) in [("v1", "Pod", pod), ("apps/v1", "ReplicaSet", set), ("v1", "Service", service)] {
        items.extend((0..STRANGERS).map(|number| {
            let metadata = json!({"name": format!("stranger-{number}"), "labels": labels});
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
        }));
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("strangers.json");
    fs::write(&file, list.to_string()).expect("the objects are written");
    kubectl(&["create", "-f", &file.display().to_string(), "-o", "name"]);
}

fn remove_strangers() {
    kubectl(&["delete", "pods,replicasets,services", "-l", "bench=stranger", "--force", "--grace-period=0"]);
}
