//! Connections to pods' ports: channel 2n carries the bytes of the n-th port, 2n + 1 why it cannot be had.

use std::future::pending;
use std::sync::Arc;

use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use hyper::body::{Bytes, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::super::store::Kind;
use super::super::{World, node};
use super::Later;
use super::failure::Failure;
use super::fault::{Body, Faults};
use super::request::Asked;
use super::websocket::{Socket, accept, close, frames, open};

/// Frames that wait for their turn.
const WAITING: usize = 16;

/// Agrees to forward ports.
pub(super) fn port_forward(
    world: &Arc<World>,
    asked: &Asked,
    request: &mut Request<Incoming>,
    faults: Faults,
) -> Result<(Response<Body>, Later), Failure> {
    let pod = asked.name.clone().unwrap_or_default();
    if !asked.has_objects() || world.store.get(Kind::Pod, &pod).is_none() {
        return Err(Failure::not_found(asked));
    }
    let ports = asked.get("ports").unwrap_or_default().split(',').map(str::parse).collect::<Result<Vec<u16>, _>>();
    // A channel is a byte.
    let ports = ports.ok().filter(|ports| ports.len() <= 128 && !ports.contains(&0));
    let ports = ports.ok_or_else(|| Failure::bad("query parameter \"ports\" is required"))?;
    let (response, upgrade) = accept(request, "v4.channel.k8s.io")?;
    let world = Arc::clone(world);
    let later = async move {
        let Some(mut socket) = open(upgrade).await else { return };
        if !faults.is_half() {
            faults.during(forward(&world, &pod, &ports, &mut socket)).await;
        }
    };
    Ok((response, Box::pin(later)))
}

async fn forward(world: &World, pod: &str, ports: &[u16], socket: &mut Socket) {
    let (to_client, mut frames_out) = mpsc::channel(WAITING);
    let mut to_ports = Vec::new();
    let mut copies = Vec::new();
    for (channel, port) in (0..).step_by(2).zip(ports) {
        // Unbounded: this loop is what makes the ports' ends read.
        let (to_port, from_client) = mpsc::unbounded_channel();
        to_ports.push(to_port);
        copies.push(copy(world, pod, *port, channel, from_client, to_client.clone()));
    }
    drop(to_client);
    let mut copies = std::pin::pin!(join_all(copies));
    let mut is_over = false;
    loop {
        tokio::select! {
            _ = &mut copies, if !is_over => is_over = true,
            frame = frames_out.recv() => match frame {
                Some(frame) => if socket.send(frame).await.is_err() { return },
                // All ports are closed.
                None => return close(socket).await,
            },
            frame = socket.next() => match frame {
                Some(Ok(Message::Binary(frame))) => {
                    let Some((channel, data)) = frame.split_first() else { continue };
                    let port = to_ports.get(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
                    if let Some(port) = port {
                        // A port that was closed takes no more.
                        let _ = port.send(frame.slice_ref(data));
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

/// Connects to a port and copies both ways until the pod closes the connection.
async fn copy(
    world: &World,
    pod: &str,
    port: u16,
    channel: u8,
    mut from_client: mpsc::UnboundedReceiver<Bytes>,
    to_client: mpsc::Sender<Message>,
) -> Option<()> {
    for channel in [channel, channel + 1] {
        let [low, high] = port.to_le_bytes();
        to_client.send(Message::binary(vec![channel, low, high])).await.ok()?;
    }
    let connection = match node::listener(world, pod, port) {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut connection) = connection else {
        let refused = format!("IPv4: dial tcp4 127.0.0.1:{port}: connect: connection refused");
        let inside = format!("failed to connect to localhost:{port} inside namespace \"{pod}\"");
        let message = format!("error forwarding port {port} to pod {pod}, uid : {inside}, {refused} ");
        for frame in frames(channel + 1, message.as_bytes()) {
            to_client.send(frame).await.ok()?;
        }
        return Some(());
    };
    connection.set_nodelay(true).ok()?;
    let (mut reader, mut writer) = connection.split();
    let write = async {
        while let Some(data) = from_client.recv().await {
            if writer.write_all(&data).await.is_err() {
                break;
            }
        }
        // Only the pod's end is the end.
        pending::<()>().await;
    };
    let read = async {
        let mut buffer = vec![0; 32 << 10];
        while let Some(length) = reader.read(&mut buffer).await.ok().filter(|length| *length > 0) {
            for frame in frames(channel, &buffer[..length]) {
                to_client.send(frame).await.ok()?;
            }
        }
        Some(())
    };
    tokio::select! {
        read = read => read,
        () = write => None,
    }
}
