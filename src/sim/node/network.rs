//! The network of the node: where Services lead, the NodePorts, and what containers find of both.

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
    /// The pod and its port that it leads to.
    target: Option<(String, u16)>,
}

pub(in crate::sim) async fn connect_pod(world: &World, pod: &str, port: u16) -> Option<TcpStream> {
    let own = lock(&world.kubelet.ports).get(pod).copied().filter(|_| port == 2049)?;
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, own)).await.ok()?;
    // Small records are not kept back.
    connection.set_nodelay(true).ok()?;
    Some(connection)
}

fn routes(world: &World) -> Vec<Route> {
    let number = |value: &serde_json::Value| value.as_u64().and_then(|port| u16::try_from(port).ok());
    let slices = world.store.list(Kind::EndpointSlice);
    let mut routes = Vec::new();
    for service in world.store.list(Kind::Service) {
        let its = slices
            .iter()
            .find(|slice| text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]) == name(&service));
        for port in items(&service["spec"]["ports"]) {
            let target = its.and_then(|slice| {
                let ready = items(&slice["endpoints"]).find(|endpoint| endpoint["conditions"]["ready"] == true)?;
                let own = items(&slice["ports"]).find(|own| own["name"] == port["name"])?;
                Some((text(&ready["targetRef"]["name"]).to_owned(), number(&own["port"])?))
            });
            let [port, node_port] = ["port", "nodePort"].map(|field| number(&port[field]).unwrap_or_default());
            routes.push(Route { ip: text(&service["spec"]["clusterIP"]).to_owned(), port, node_port, target });
        }
    }
    routes
}

/// Listens on the NodePorts that lead to a pod.
pub(super) async fn proxy(world: Arc<World>) {
    let mut state = world.store.state();
    let mut tasks = JoinSet::new();
    let mut open: HashMap<u16, AbortHandle> = HashMap::new();
    loop {
        state.mark_unchanged();
        let routes = routes(&world).into_iter().filter(|route| route.node_port > 0 && route.target.is_some());
        let wanted: Vec<u16> = routes.map(|route| route.node_port).collect();
        for (_, closed) in open.extract_if(|port, _| !wanted.contains(port)) {
            closed.abort();
        }
        for port in wanted {
            // One that another program has is tried again at the next change.
            if !open.contains_key(&port)
                && let Ok(listener) = TcpListener::bind((world.address, port)).await
            {
                let world = Arc::clone(&world);
                let served = serve(listener, move |client| pass(Arc::clone(&world), client, port));
                open.insert(port, tasks.spawn(served.boxed()));
            }
        }
        while tasks.try_join_next().is_some() {}
        if state.changed().await.is_err() {
            return;
        }
    }
}

async fn pass(world: Arc<World>, mut client: TcpStream, node_port: u16) {
    let route = routes(&world).into_iter().find(|route| route.node_port == node_port);
    let Some((pod, port)) = route.and_then(|route| route.target) else { return };
    let Some(mut server) = connect_pod(&world, &pod, port).await else { return };
    let _ = client.set_nodelay(true);
    // Whoever closes the connection knows why.
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Connects to a Service's address, or to a NodePort; what nc says if it cannot.
pub(super) fn connect(world: &World, address: &str, port: u16) -> Result<(), String> {
    let is_node = address == world.address.to_string();
    let is_its = |route: &Route| route.ip == address && route.port == port || is_node && route.node_port == port;
    match routes(world).into_iter().find(is_its) {
        Some(Route { target: Some(_), .. }) => Ok(()),
        None if !is_node => Err("nc: timed out\n".to_owned()),
        _ => Err(format!("nc: can't connect to remote host ({address}): Connection refused\n")),
    }
}

/// What busybox's nslookup says of Services' names.
pub(super) fn resolve(world: &World, names: &[String]) -> String {
    let mut said = format!("! {NAME_SERVER}\n");
    for name in names {
        let full = format!("{name}.{NAMESPACE}.svc.cluster.local");
        let (code, answer) = match world.store.get(Kind::Service, name) {
            Some(service) => (0, format!("Name:\t{full}\nAddress: {}", text(&service["spec"]["clusterIP"]))),
            None => (1, format!("** server can't find {full}.: NXDOMAIN")),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(said, "? {name} {code}\nServer:\t\t{NAME_SERVER}\nAddress:\t{NAME_SERVER}:53\n\n{answer}");
    }
    said
}
