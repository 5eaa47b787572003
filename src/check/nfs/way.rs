//! The way to an NFS server from outside its pod: a port-forward, or its Service's NodePort.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::call::{Answer, CONNECT, Trouble, What};
use crate::check::Site;
use crate::check::parameter::Fact;
use crate::check::topology::node_port::{self, Node, is_refusal};
use crate::cluster::{Forwarded, Network, ResourceExt};
use crate::event::{Reason, Verdict};

/// How long a node may take to take a connection, or to say why a port-forward ended.
const TAKE: Duration = Duration::from_secs(3);
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

/// A port.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum Port {
    /// Its number.
    Number(u16),
    /// Where the values have it; what they do not have is the live Service's NodePort.
    Fact(Fact),
}

pub enum Way {
    /// A port of its pod.
    Pod(u16),
    /// A port of the node, and the ports of the other servers there.
    Node {
        /// The node, as it is reached from here.
        address: String,
        found: Vec<SocketAddr>,
        port: u16,
        /// The other servers' ports.
        others: Vec<u16>,
    },
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub enum Connection {
    Forwarded(Forwarded),
    Tcp(TcpStream),
}

impl Way {
    /// The way to the server under test; a verdict if it has no port, or the node no address.
    pub async fn find(site: &Site, pod: &Pod, via: Via, port: &Port) -> Result<Self, Verdict> {
        let network = site.shared.watch.network();
        let (server, by) = (site.server(), format!("node-port::{}", site.server()));
        let own = number(site, server, port, network.as_ref().ok())?;
        let none = || {
            let expected = "a port for NFS, in the values or as its Service's NodePort";
            Verdict::blocked(by, Reason::new(format!("server {server}"), expected, "none"))
        };
        if via == Via::PortForward {
            return own.map(Self::Pod).ok_or_else(none);
        }
        let network = network.map_err(|error| site.no_answer(&error))?;
        let own = own.ok_or_else(none)?;
        let others = site.servers.iter().filter(|other| *other != server);
        let others = others.filter_map(|other| number(site, other, port, Some(&network)).ok()?).collect();
        let Node { address, mut found, .. } = node_port::node(site, pod).await?;
        for address in &mut found {
            address.set_port(own);
        }
        Ok(Self::Node { address, found, port: own, others })
    }

    /// The server on this way, for messages.
    pub fn object(&self, pod: &Pod) -> String {
        let pod = pod.name_any();
        match self {
            Self::Pod(port) => format!("NFS server of pod {pod} (port-forward to {port})"),
            Self::Node { address, port, .. } => format!("NFS server at node {address}, NodePort {port} (pod {pod})"),
        }
    }

    /// Connects; a verdict if the API does not make a port-forward, which says nothing of the server.
    pub async fn connect(&self, site: &Site, pod: &Pod, deadline: Instant) -> Result<Answer<Connection>, Verdict> {
        let (found, port) = match self {
            Self::Pod(port) => {
                let made = site.shared.cluster.forward(&pod.name_any(), *port).await;
                return made.map(|made| Ok(Connection::Forwarded(made))).map_err(|error| site.no_answer(&error));
            }
            Self::Node { found, port, .. } => (found, *port),
        };
        let mut what = What::Silent;
        // From a high port too, before it counts as silence: a network on the way may drop what comes from low ones.
        let ways = found.iter().flat_map(|address| [(address, true), (address, false)]);
        for (address, is_low) in ways {
            let limit = deadline.min(Instant::now() + TAKE);
            what = match timeout_at(limit, dial(*address, is_low)).await {
                Ok(Ok(stream)) => return Ok(Ok(Connection::Tcp(stream))),
                Ok(Err(error)) if is_refusal(error.kind()) => What::Ended(format!("port {port} refused it")),
                Ok(Err(error)) => What::Unreachable(error.to_string()),
                Err(_) => What::Unreachable(format!("no answer within {}s", TAKE.as_secs())),
            };
        }
        Ok(Err(Trouble { call: CONNECT.to_owned(), what }))
    }

    /// The ports of other servers that answer.
    pub async fn answering(&self) -> Vec<u16> {
        let Self::Node { found, others, .. } = self else { return Vec::new() };
        let knock = |port: u16| async move {
            let dials = found.iter().map(|address| async move {
                let dialled = timeout(TAKE, TcpStream::connect(SocketAddr::new(address.ip(), port))).await;
                dialled.is_ok_and(|dialled| dialled.map_or_else(|error| is_refusal(error.kind()), |_| true))
            });
            join_all(dials).await.contains(&true).then_some(port)
        };
        join_all(others.iter().map(|port| knock(*port))).await.into_iter().flatten().collect()
    }
}

impl Connection {
    pub fn stream(&mut self) -> &mut dyn Stream {
        match self {
            Self::Forwarded(forwarded) => &mut forwarded.stream,
            Self::Tcp(stream) => stream,
        }
    }

    /// The port that it comes from; `None` where only the node knows.
    pub fn from(&self) -> Option<u16> {
        match self {
            Self::Forwarded(_) => None,
            Self::Tcp(stream) => stream.local_addr().ok().map(|address| address.port()),
        }
    }

    /// What ended it, in the node's words where it has any.
    pub async fn explain(self, trouble: Trouble) -> Trouble {
        let Trouble { call, what: What::Ended(why) } = trouble else { return trouble };
        let said = match self {
            Self::Forwarded(forwarded) => timeout(TAKE, forwarded.trouble).await.ok().flatten(),
            Self::Tcp(_) => None,
        };
        let what = match said {
            // The kubelet's words for a port that nobody listens on, and for a server that ended; others are of its own troubles.
            Some(said) if !said.contains("refused") && !said.contains("reset by peer") => What::Broken(said),
            said => What::Ended(said.unwrap_or(why)),
        };
        Trouble { call, what }
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
    for _ in 0..TRIES {
        let port = rand::random_range(LOW);
        let (socket, own): (_, SocketAddr) = if address.is_ipv4() {
            (TcpSocket::new_v4(), (Ipv4Addr::UNSPECIFIED, port).into())
        } else {
            (TcpSocket::new_v6(), (Ipv6Addr::UNSPECIFIED, port).into())
        };
        let socket = socket.ok()?;
        match socket.bind(own) {
            Ok(()) => return Some(socket),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(_) => return None,
        }
    }
    None
}

fn number(site: &Site, server: &str, port: &Port, network: Option<&Network>) -> Result<Option<u16>, Verdict> {
    let fact = match port {
        Port::Number(number) => return Ok(Some(*number)),
        Port::Fact(fact) => fact,
    };
    let live = network.map(|network| node_port::live(&network.services(&site.select, server)));
    Ok(node_port::port(&site.expected_of(server, fact)?, &live.unwrap_or_default()))
}
