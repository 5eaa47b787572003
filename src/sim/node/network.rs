//! The network of the node: what a Service leads to, and the NodePorts. Follows the store.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::{array, text};
use crate::sim::World;
use crate::sim::store::Kind;

/// Where a port of a pod listens on this machine.
pub fn listener(world: &World, pod: &str, port: u16) -> Option<SocketAddr> {
    let listeners = world.kubelet.listeners.lock().unwrap_or_else(PoisonError::into_inner);
    listeners.get(pod).copied().filter(|_| port == 2049)
}

/// The ready endpoints of a Service: its EndpointSlice's ports, and the endpoint.
pub fn endpoints(world: &World, service: &Value) -> Vec<(Value, Value)> {
    let name = &service["metadata"]["name"];
    let slices = world.store.list(Kind::EndpointSlice).1;
    let its = slices.iter().filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == *name);
    its.flat_map(|slice| {
        // Nothing said means ready.
        let ready = array(&slice["endpoints"]).filter(|endpoint| endpoint["conditions"]["ready"] != false);
        ready.map(|endpoint| (slice["ports"].clone(), endpoint.clone())).collect::<Vec<_>>()
    })
    .collect()
}

/// The pod, and its port, that a Service's port leads to.
pub fn target(world: &World, service: &Value, port: &Value) -> Option<(String, u16)> {
    endpoints(world, service).into_iter().find_map(|(ports, endpoint)| {
        let port = array(&ports).find(|own| text(&own["name"]) == text(&port["name"]))?;
        let number = u16::try_from(port["port"].as_u64()?).ok()?;
        Some((text(&endpoint["targetRef"]["name"]).to_owned(), number))
    })
}

/// The Service and its port for which `is_it` says so.
pub fn service_port(world: &World, is_it: impl Fn(&Value, &Value) -> bool) -> Option<(Arc<Value>, Value)> {
    let services = world.store.list(Kind::Service).1;
    services.into_iter().find_map(|service| {
        let port = array(&service["spec"]["ports"]).find(|port| is_it(&service, port))?.clone();
        Some((service, port))
    })
}

/// Listens on the NodePorts that lead to a pod.
pub async fn proxy(world: Arc<World>) {
    let mut changes = world.store.changes();
    let mut tasks = JoinSet::new();
    let mut open: HashMap<u16, AbortHandle> = HashMap::new();
    loop {
        let wanted = node_ports(&world);
        open.retain(|port, task| {
            wanted.contains(port) || {
                task.abort();
                false
            }
        });
        for port in wanted {
            if open.contains_key(&port) {
                continue;
            }
            // One that another program has is tried again at the next change.
            if let Ok(listener) = TcpListener::bind((world.address, port)).await {
                open.insert(port, tasks.spawn(pass(Arc::clone(&world), listener, port)));
            }
        }
        while tasks.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn node_ports(world: &World) -> Vec<u16> {
    let services = world.store.list(Kind::Service).1;
    let open = |service: &Value| -> Vec<u16> {
        let ports = array(&service["spec"]["ports"]).filter(|port| target(world, service, port).is_some());
        ports.filter_map(|port| u16::try_from(port["nodePort"].as_u64()?).ok()).collect()
    };
    services.iter().filter(|service| service["spec"]["type"] == "NodePort").flat_map(|service| open(service)).collect()
}

/// Passes connections to a NodePort on to the pod.
async fn pass(world: Arc<World>, listener: TcpListener, port: u16) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            Ok((mut client, _)) = listener.accept() => {
                let found = service_port(&world, |_, own| own["nodePort"] == port);
                let target = found.and_then(|(service, own)| target(&world, &service, &own));
                let Some(address) = target.and_then(|(pod, port)| self::listener(&world, &pod, port)) else { continue };
                clients.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(address).await {
                        // Whoever closes the connection knows why.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
            Some(_) = clients.join_next() => {}
        }
    }
}
