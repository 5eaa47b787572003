//! The node's network: routes of Services, listening NodePorts, and name resolution and connections from containers.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::FutureExt;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::container::lock;
use crate::sim::listener::serve;
use crate::sim::object::{Kind, items, name, text};
use crate::sim::world::{NAMESPACE, World};

const NAME_SERVER: &str = "10.96.0.10";

struct Route {
    ip: String,
    port: u16,
    node_port: u16,
    /// A Ready pod's name and port.
    target: Option<(String, u16)>,
}

pub(in crate::sim) async fn connect_pod(world: &World, pod: &str, port: u16) -> Option<TcpStream> {
    let local = lock(&world.kubelet.ports).get(pod).copied().filter(|_| port == 2049)?;
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, local)).await.ok()?;
    connection.set_nodelay(true).ok()?;
    Some(connection)
}

fn routes(world: &World) -> Vec<Route> {
    let number = |value: &serde_json::Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let slices = world.store.list(Kind::EndpointSlice);
    let mut routes = Vec::new();
    for service in world.store.list(Kind::Service) {
        let slice = slices
            .iter()
            .find(|slice| text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]) == name(&service));
        for port in items(&service["spec"]["ports"]) {
            let target = slice.and_then(|slice| {
                let ready = items(&slice["endpoints"]).find(|endpoint| endpoint["conditions"]["ready"] == true)?;
                let target = items(&slice["ports"]).find(|target| target["name"] == port["name"])?;
                Some((text(&ready["targetRef"]["name"]).to_owned(), number(&target["port"])?))
            });
            let [port, node_port] = ["port", "nodePort"].map(|field| number(&port[field]).unwrap_or_default());
            routes.push(Route { ip: text(&service["spec"]["clusterIP"]).to_owned(), port, node_port, target });
        }
    }
    routes
}

/// Listens on the NodePorts that have a Ready pod, as kube-proxy would.
pub(super) async fn proxy(world: Arc<World>) {
    let mut state = world.store.state();
    let mut tasks = JoinSet::new();
    let mut open: HashMap<u16, AbortHandle> = HashMap::new();
    loop {
        state.mark_unchanged();
        let routes = routes(&world).into_iter().filter(|route| route.node_port > 0 && route.target.is_some());
        let ports: Vec<u16> = routes.map(|route| route.node_port).collect();
        for (_, closed) in open.extract_if(|port, _| !ports.contains(port)) {
            closed.abort();
        }
        for port in ports {
            // A port in use is retried at the next change.
            if !open.contains_key(&port)
                && let Ok(listener) = TcpListener::bind((world.address, port)).await
            {
                let world = Arc::clone(&world);
                let server = serve(listener, move |client| forward(Arc::clone(&world), client, port));
                open.insert(port, tasks.spawn(server.boxed()));
            }
        }
        while tasks.try_join_next().is_some() {}
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn forward(world: Arc<World>, mut client: TcpStream, node_port: u16) {
    let route = routes(&world).into_iter().find(|route| route.node_port == node_port);
    let Some((pod, port)) = route.and_then(|route| route.target) else { return };
    let Some(mut server) = connect_pod(&world, &pod, port).await else { return };
    let _ = client.set_nodelay(true);
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Checks that a Service's ClusterIP or a NodePort has a Ready pod; on failure returns nc's error message.
pub(super) fn connect(world: &World, address: &str, port: u16) -> Result<(), String> {
    let is_node = address == world.address.to_string();
    let matches = |route: &Route| route.ip == address && route.port == port || is_node && route.node_port == port;
    match routes(world).into_iter().find(matches) {
        Some(Route { target: Some(_), .. }) => Ok(()),
        None if !is_node => Err("nc: timed out\n".to_owned()),
        _ => Err(format!("nc: can't connect to remote host ({address}): Connection refused\n")),
    }
}

/// The output of busybox's nslookup for names of Services.
pub(super) fn resolve(world: &World, names: &[String]) -> String {
    let mut output = format!("! {NAME_SERVER}\n");
    for name in names {
        let full = format!("{name}.{NAMESPACE}.svc.cluster.local");
        let (code, answer) = match world.store.get(Kind::Service, name) {
            Some(service) => (0, format!("Name:\t{full}\nAddress: {}", text(&service["spec"]["clusterIP"]))),
            None => (1, format!("** server can't find {full}.: NXDOMAIN")),
        };
        let _ = writeln!(output, "? {name} {code}\nServer:\t\t{NAME_SERVER}\nAddress:\t{NAME_SERVER}:53\n\n{answer}");
    }
    output
}
