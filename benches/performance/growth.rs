//! The cost of more servers on the simulated cluster, and of unrelated objects on the real one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use file_simulator_e2e::sim::scenario::Scenario;
use file_simulator_e2e::sim::{INTERVAL, Simulation};
use futures::stream::{self, StreamExt};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::kubectl::SERVERS;
use super::measure::{Cost, children_cost, kubectl, ours};
use super::side_by_side::median_cost;

const SIZES: [usize; 3] = [7, 70, 400];
/// The number of unrelated objects of each kind.
const UNRELATED: usize = 5_000;
/// Concurrent requests.
const AT_ONCE: usize = 16;
const LABEL: &str = "bench=unrelated";
const NAMESPACE: &str = "file-simulator";
const RENDERED: &str = include_str!("../../fixtures/helm-chart/golden/multi-nas.yaml");
const VALUES: &str = include_str!("../../fixtures/helm-chart/file-simulator/values-multi-nas.yaml");
const SYSTEM: &str = include_str!("../../suites/systems/file-simulator.yaml");

pub fn grow(rounds: usize) {
    let runtime = Runtime::new().expect("threads");
    println!("## Growth\n");
    println!("| `phase2` with | time | client CPU | client memory |\n| --- | --- | --- | --- |");
    let simulated = SIZES.map(|servers| {
        let cost = simulated(&runtime, servers, rounds);
        row(&format!("{servers} simulated servers"), cost);
        cost
    });
    let client = runtime.block_on(client());
    let real = || median_cost(&(0..rounds).map(|_| children_cost(|| ours(&["--suite", "phase2"]))).collect::<Vec<_>>());
    // After an interrupted run.
    runtime.block_on(remove(&client));
    runtime.block_on(wait_for_controllers(&client));
    let alone = real();
    row("7 servers", alone);
    let crowded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(create_unrelated(&client));
        runtime.block_on(wait_for_controllers(&client));
        real()
    }));
    runtime.block_on(remove(&client));
    runtime.block_on(wait_for_controllers(&client));
    let crowded = crowded.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    row(&format!("7 servers, with {UNRELATED} other Pods, ReplicaSets and Services each"), crowded);
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

fn simulated(runtime: &Runtime, servers: usize, rounds: usize) -> Cost {
    let scenario = json!({"name": "growth", "about": "healthy", "faults": copies(servers)});
    let scenario: Scenario = serde_json::from_value(scenario).expect("a scenario");
    let simulation = runtime.block_on(Simulation::start(scenario)).unwrap_or_else(|refusal| panic!("{refusal}"));
    let folder = tempfile::tempdir().expect("a folder");
    let suite = folder.path().join("phase2.yaml");
    let text = include_str!("../../suites/phase2.yaml").replace("system: file-simulator", "system: system.yaml");
    fs::write(&suite, text).expect("a suite");
    let system = SERVERS.iter().enumerate().fold(SYSTEM.to_owned(), |text, (index, original)| {
        let names: Vec<_> = (index..servers).step_by(SERVERS.len()).map(name).collect();
        text.replace(original, &names.join(", "))
    });
    fs::write(folder.path().join("system.yaml"), system).expect("a system");
    let target = simulation.target();
    let path = |path: &Path| path.display().to_string();
    let kubeconfig = path(target.kubeconfig.as_deref().expect("a kubeconfig"));
    let (suite, data) = (path(&suite), path(simulation.data()));
    let run = || {
        ours(&[
            "--suite",
            &suite,
            "--kubeconfig",
            &kubeconfig,
            "--context",
            &target.context,
            "--namespace",
            &target.namespace,
            "--release",
            &target.release,
            "--host-data",
            &data,
        ])
    };
    let costs: Vec<Cost> = (0..rounds).map(|_| children_cost(run)).collect();
    median_cost(&costs)
}

/// One of the chart's servers, or a copy with a number appended.
fn name(number: usize) -> String {
    let (original, copy) = (SERVERS[number % SERVERS.len()], number / SERVERS.len());
    if copy == 0 { original.to_owned() } else { format!("{original}-{copy}") }
}

/// Faults that add copies of the chart's servers.
fn copies(servers: usize) -> Vec<Value> {
    let objects = serde_saphyr::from_multiple::<Value>(RENDERED).expect("objects");
    let values: Value = serde_saphyr::from_str(VALUES).expect("values");
    let (mut faults, mut added) = (Vec::new(), Vec::new());
    for number in SERVERS.len()..servers {
        let index = number % SERVERS.len();
        let (fsid, copied_fsid) = (index + 1, number + 1);
        let replaced = [
            (SERVERS[index].to_owned(), name(number)),
            (format!(r#""nodePort":{}"#, 32_150 + index), format!(r#""nodePort":{}"#, 20_000 + number)),
            (format!(r#""fsid":{fsid}"#), format!(r#""fsid":{copied_fsid}"#)),
            (format!(r#""FSID","value":"{fsid}""#), format!(r#""FSID","value":"{copied_fsid}""#)),
            (r#""SYNC_INTERVAL","value":"30""#.to_owned(), format!(r#""SYNC_INTERVAL","value":"{INTERVAL}""#)),
        ];
        let copy = |original: &Value| -> Value {
            let text = replaced.iter().fold(original.to_string(), |text, (old, new)| text.replace(old, new));
            serde_json::from_str(&text).expect("JSON")
        };
        added.push(json!({"op": "add", "path": "/nasServers/-", "value": copy(&values["nasServers"][index])}));
        let named = |field: &Value| field.as_str().expect("a string").to_owned();
        for object in objects.iter().filter(|object| named(&object["metadata"]["name"]).ends_with(SERVERS[index])) {
            faults.push(json!({"add": {"kind": named(&object["kind"]).to_lowercase(), "object": copy(object)}}));
        }
    }
    faults.push(json!({"revision": {"number": 1, "values": added}}));
    faults
}

async fn client() -> Client {
    let options = KubeConfigOptions { context: Some("file-simulator".to_owned()), ..KubeConfigOptions::default() };
    let config = Config::from_kubeconfig(&options).await.expect("the context file-simulator");
    Client::try_from(config).expect("a client")
}

/// Creates unrelated objects: unscheduled pods, ReplicaSets without pods, headless Services.
async fn create_unrelated(client: &Client) {
    let container = json!({"name": "one", "image": "none", "env": [{"name": "FILLER", "value": "x".repeat(1000)}]});
    let pod = json!({"schedulerName": "none", "containers": [container]});
    let labels = json!({"bench": "unrelated", "app": "other"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let set = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    create::<Pod>(client, &labels, &pod).await;
    create::<ReplicaSet>(client, &labels, &set).await;
    create::<Service>(client, &labels, &json!({"clusterIP": "None", "ports": [{"port": 80}]})).await;
}

/// Controllers process a new ReplicaSet after all earlier changes.
async fn wait_for_controllers(client: &Client) {
    let labels = json!({"bench": "unrelated"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "one", "image": "none"}]}});
    let set = json!({"replicas": 0, "selector": {"matchLabels": labels}, "template": template});
    let api = Api::<ReplicaSet>::namespaced(client.clone(), NAMESPACE);
    let set: ReplicaSet =
        serde_json::from_value(json!({"metadata": {"name": "unrelated-last", "labels": labels}, "spec": set}))
            .expect("a ReplicaSet");
    api.create(&PostParams::default(), &set).await.expect("a new ReplicaSet");
    kubectl(&["wait", "replicaset/unrelated-last", "--for=jsonpath={.status.observedGeneration}=1", "--timeout=15m"]);
    kubectl(&["delete", "replicaset/unrelated-last"]);
}

async fn create<K>(client: &Client, labels: &Value, spec: &Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api = Arc::new(Api::<K>::namespaced(client.clone(), NAMESPACE));
    let create = |number: usize| {
        let object = json!({"metadata": {"name": format!("unrelated-{number}"), "labels": labels}, "spec": spec});
        let (api, object) = (Arc::clone(&api), serde_json::from_value::<K>(object).expect("an object"));
        async move { api.create(&PostParams::default(), &object).await.map(drop).expect("a new object") }
    };
    stream::iter((0..UNRELATED).map(create)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn remove(client: &Client) {
    let (now, unrelated) = (DeleteParams::default().grace_period(0), ListParams::default().labels(LABEL));
    let [pods, sets, services] = [(); 3].map(|()| client.clone());
    let pods = Api::<Pod>::namespaced(pods, NAMESPACE);
    pods.delete_collection(&now, &unrelated).await.map(drop).expect("removed pods");
    let sets = Api::<ReplicaSet>::namespaced(sets, NAMESPACE);
    sets.delete_collection(&now, &unrelated).await.map(drop).expect("removed ReplicaSets");
    let services = Api::<Service>::namespaced(services, NAMESPACE);
    services.delete_collection(&now, &unrelated).await.map(drop).expect("removed Services");
}
