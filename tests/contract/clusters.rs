//! The clusters of the contract tests: a simulated one for each test, or the real one.

use file_simulator_e2e::cluster::{self, Cluster, Select, Target, Wanted};
use file_simulator_e2e::sim::Simulation;
use file_simulator_e2e::sim::scenario::{HEALTHY, Scenario, named};
use futures::future::LocalBoxFuture;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;

use crate::support::simulated::faulty;
use crate::support::test_cluster::TestCluster;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clusters {
    Simulated,
    /// The one of `fixtures/cluster`.
    Real,
}

pub struct Connected {
    pub cluster: Cluster,
    /// For requests that the program does not send.
    pub client: Client,
    pub clusters: Clusters,
    pub target: Target,
    _simulation: Option<Simulation>,
}

pub fn select() -> Select {
    Select {
        labels: [("simulator.protocol".to_owned(), "nfs".to_owned())].into(),
        server_label: "app.kubernetes.io/component".to_owned(),
    }
}

pub fn wanted() -> Wanted {
    Wanted::of([&select()])
}

impl Clusters {
    pub fn run(self, test: fn(Connected) -> LocalBoxFuture<'static, ()>) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { test(self.connect(named(HEALTHY).unwrap()).await).await });
    }

    /// The scenario applies only to a simulated cluster.
    async fn connect(self, scenario: Scenario) -> Connected {
        let simulation = match self {
            Self::Simulated => Some(Simulation::start(scenario).await.unwrap()),
            Self::Real => None,
        };
        let target = simulation.as_ref().map_or_else(|| TestCluster::find().target, Simulation::target);
        let cluster = cluster::connect(target.clone()).await.unwrap();
        let client = client(&target, None).await;
        Connected { cluster, client, clusters: self, target, _simulation: simulation }
    }
}

pub async fn forbidding() -> Connected {
    let fault = json!({"api": {"verbs": ["list"], "resources": ["pods"], "gets": {"status": 403}}});
    Clusters::Simulated.connect(faulty(&[fault])).await
}

pub async fn client(target: &Target, user: Option<&str>) -> Client {
    let kubeconfig = Kubeconfig::read_from(target.kubeconfig.as_ref().unwrap()).unwrap();
    let options = KubeConfigOptions { context: Some(target.context.clone()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    config.auth_info.impersonate = user.map(str::to_owned);
    Client::try_from(config).unwrap()
}
