//! The route to an NFS server from outside its pod: a port-forward, or its Service's NodePort.

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

use super::failure::{Abort, CONNECT, Cause, Failure};
use crate::check::Site;
use crate::check::topology::node::{Node, is_refusal, port};
use crate::cluster::{PortForward, ResourceExt};
use crate::event::{Reason, Verdict};

/// How long a node may take to accept a connection, or to report why a port-forward ended.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(3);
/// The privileged ports that glibc's bindresvport(3) tries first.
const PRIVILEGED: std::ops::Range<u16> = 600..1024;
const BIND_ATTEMPTS: usize = 16;

/// How to reach the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// Through the API server and the node.
    #[default]
    PortForward,
    /// Through the Service, like production clients.
    NodePort,
}

pub enum Route {
    /// To this port of the pod.
    PortForward(u16),
    NodePort(Node, u16),
}

pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub struct Connection {
    pub stream: Box<dyn Stream>,
    /// The node's error after a port-forward has ended.
    pub node_error: BoxFuture<'static, Option<String>>,
}

impl Route {
    /// Errors: the server has no NodePort, or its node has no address.
    pub async fn find(site: &Site, pod: &Pod, via: Via) -> Result<Self, Verdict> {
        if via == Via::PortForward {
            return Ok(Self::PortForward(site.system.export.port));
        }
        let network = site.shared.watch.network();
        let (server, by) = (site.server(), format!("node-port::{}", site.server()));
        let services = network.map(|network| network.services(&site.system.pods, server)).unwrap_or_default();
        let own = port(&site.expected(site.system.facts.node_port.as_ref())?, &services);
        let none = || {
            let expected = "a NodePort, in the values or of its Service";
            Verdict::blocked(by, Reason::new(format!("server {server}"), expected, "none"))
        };
        Ok(Self::NodePort(Node::of(site, pod).await?, own.ok_or_else(none)?))
    }

    pub fn object(&self, pod: &Pod) -> String {
        let pod = pod.name_any();
        match self {
            Self::PortForward(port) => format!("NFS server of pod {pod} (port-forward to {port})"),
            Self::NodePort(node, port) => format!("NFS server at node {}, NodePort {port} (pod {pod})", node.address),
        }
    }

    /// Errors: the server refuses the connection or cannot be reached. Inconclusive if the API server makes no
    /// port-forward.
    pub async fn connect(&self, site: &Site, pod: &Pod, deadline: Instant) -> Result<Connection, Abort> {
        let (node, port) = match self {
            Self::PortForward(port) => {
                let forwarded = site.shared.cluster.port_forward(&pod.name_any(), *port).await;
                let PortForward { stream, error: node_error } =
                    forwarded.map_err(|error| site.request_failed(&error))?;
                return Ok(Connection { stream: Box::new(stream), node_error });
            }
            Self::NodePort(node, port) => (node, *port),
        };
        let mut cause = Cause::Silent;
        // A network in between may drop packets from privileged ports, so silence counts only if a high port meets it
        // too.
        let attempts = node.addresses.iter().flat_map(|address| [(address, true), (address, false)]);
        for (address, is_privileged) in attempts {
            let connect_by = deadline.min(Instant::now() + NODE_TIMEOUT);
            cause = match timeout_at(connect_by, connect(SocketAddr::new(address.ip(), port), is_privileged)).await {
                Ok(Ok(stream)) => {
                    return Ok(Connection { stream: Box::new(stream), node_error: ready(None).boxed() });
                }
                Ok(Err(error)) if is_refusal(error.kind()) => {
                    Cause::Ended(format!("port {port} refused the connection"))
                }
                Ok(Err(error)) => Cause::Unreachable(error.to_string()),
                Err(_) => Cause::Unreachable(format!("no reply within {} s", NODE_TIMEOUT.as_secs())),
            };
        }
        Err(Failure { call: CONNECT.to_owned(), cause }.into())
    }

    pub async fn responding_ports(&self, site: &Site) -> Result<Vec<u16>, Verdict> {
        let Self::NodePort(node, own) = self else { return Ok(Vec::new()) };
        let all = node.connect_all(site, NODE_TIMEOUT).await?;
        Ok(all.into_iter().filter(|(port, attempt)| port != own && attempt.is_reply()).map(|(port, _)| port).collect())
    }
}

/// Connects; from a privileged port if asked to and possible, because an export without `insecure` accepts no others.
async fn connect(address: SocketAddr, is_privileged: bool) -> std::io::Result<TcpStream> {
    let stream = match is_privileged.then(|| privileged_socket(address)).flatten() {
        // The operating system refuses a second connection from the same port to the same address.
        Some(socket) => match socket.connect(address).await {
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => TcpStream::connect(address).await?,
            result => result?,
        },
        None => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn privileged_socket(address: SocketAddr) -> Option<TcpSocket> {
    (0..BIND_ATTEMPTS).find_map(|_| {
        let port = rand::random_range(PRIVILEGED);
        let (socket, own): (_, SocketAddr) = if address.is_ipv4() {
            (TcpSocket::new_v4(), (Ipv4Addr::UNSPECIFIED, port).into())
        } else {
            (TcpSocket::new_v6(), (Ipv6Addr::UNSPECIFIED, port).into())
        };
        let socket = socket.ok()?;
        socket.bind(own).is_ok().then_some(socket)
    })
}
