//! The way to an NFS server from outside its pod: a port-forward, or its Service's NodePort.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::trouble::{CONNECT, Halt, Trouble, What};
use crate::check::Site;
use crate::check::topology::knock::{Node, is_refusal, port};
use crate::cluster::{Forwarded, ResourceExt};
use crate::event::{Reason, Verdict};

/// How long a node may take to take a connection, or to say why a port-forward ended.
pub const TAKE: Duration = Duration::from_secs(3);
/// The ports from which only the system's own programs connect, and of which the system gives some away by itself.
const LOW: std::ops::Range<u16> = 600..1024;
/// So many low ports are tried.
const TRIES: usize = 16;

/// How a server is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Through the API server and the node.
    #[default]
    PortForward,
    /// Through the Service, as production's clients do.
    NodePort,
}

pub enum Way {
    /// A port of its pod.
    Pod(u16),
    Node(Node, u16),
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Connection {
    pub stream: Box<dyn Stream>,
    /// What the node says went wrong with a port-forward, once it has ended.
    pub said: BoxFuture<'static, Option<String>>,
}

impl Way {
    /// The way to the server under test; a verdict if it has no port, or the node no address.
    pub async fn find(site: &Site, pod: &Pod, via: Via) -> Result<Self, Verdict> {
        if via == Via::PortForward {
            return Ok(Self::Pod(site.system.export.port));
        }
        let network = site.shared.watch.network();
        let (server, by) = (site.server(), format!("node-port::{}", site.server()));
        let services = network.map(|network| network.services(&site.system.pods, server)).unwrap_or_default();
        let own = port(&site.expected(site.system.facts.node_port.as_ref())?, &services);
        let none = || {
            let expected = "a port for NFS, in the values or as its Service's NodePort";
            Verdict::blocked(by, Reason::new(format!("server {server}"), expected, "none"))
        };
        Ok(Self::Node(Node::of(site, pod).await?, own.ok_or_else(none)?))
    }

    /// The server on this way, for messages.
    pub fn object(&self, pod: &Pod) -> String {
        let pod = pod.name_any();
        match self {
            Self::Pod(port) => format!("NFS server of pod {pod} (port-forward to {port})"),
            Self::Node(node, port) => format!("NFS server at node {}, NodePort {port} (pod {pod})", node.address),
        }
    }

    /// Connects; a verdict if the API does not make a port-forward, which says nothing of the server.
    pub async fn connect(&self, site: &Site, pod: &Pod, deadline: Instant) -> Result<Connection, Halt> {
        let (found, port) = match self {
            Self::Pod(port) => {
                let made = site.shared.cluster.forward(&pod.name_any(), *port).await;
                let Forwarded { stream, trouble: said } = made.map_err(|error| site.no_answer(&error))?;
                return Ok(Connection { stream: Box::new(stream), said });
            }
            Self::Node(node, port) => (&node.found, *port),
        };
        let mut what = What::Silent;
        // From a high port too, before it counts as silence: a network on the way may drop what comes from low ones.
        let ways = found.iter().flat_map(|address| [(address, true), (address, false)]);
        for (address, is_low) in ways {
            let limit = deadline.min(Instant::now() + TAKE);
            what = match timeout_at(limit, dial(SocketAddr::new(address.ip(), port), is_low)).await {
                Ok(Ok(stream)) => return Ok(Connection { stream: Box::new(stream), said: ready(None).boxed() }),
                Ok(Err(error)) if is_refusal(error.kind()) => What::Ended(format!("port {port} refused it")),
                Ok(Err(error)) => What::Unreachable(error.to_string()),
                Err(_) => What::Unreachable(format!("no answer within {}s", TAKE.as_secs())),
            };
        }
        Err(Trouble { call: CONNECT.to_owned(), what }.into())
    }

    /// The ports of other servers that answer at the node.
    pub async fn answering(&self, site: &Site) -> Result<Vec<u16>, Verdict> {
        let Self::Node(node, own) = self else { return Ok(Vec::new()) };
        let all = node.knock_all(site, TAKE).await?;
        Ok(all.into_iter().filter(|(port, knock)| port != own && knock.is_answer()).map(|(port, _)| port).collect())
    }
}

/// Connects, if asked for from a low port where the system gives one: without `insecure`, an export takes no others.
async fn dial(address: SocketAddr, is_low: bool) -> std::io::Result<TcpStream> {
    let stream = match is_low.then(|| low(address)).flatten() {
        // Of two connections from one port to one address, the second is refused by this machine.
        Some(socket) => match socket.connect(address).await {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => TcpStream::connect(address).await?,
            result => result?,
        },
        None => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn low(address: SocketAddr) -> Option<TcpSocket> {
    (0..TRIES).find_map(|_| {
        let port = rand::random_range(LOW);
        let (socket, own): (_, SocketAddr) = if address.is_ipv4() {
            (TcpSocket::new_v4(), (Ipv4Addr::UNSPECIFIED, port).into())
        } else {
            (TcpSocket::new_v6(), (Ipv6Addr::UNSPECIFIED, port).into())
        };
        let socket = socket.ok()?;
        socket.bind(own).is_ok().then_some(socket)
    })
}
