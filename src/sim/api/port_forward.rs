//! A connection to a pod's port: channel 0 carries its bytes, channel 1 why it cannot be had.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::objects::find;
use super::reply::{Answered, bad};
use super::request::Asked;
use super::websocket::{Done, Socket, accept, close, send};
use crate::sim::node;
use crate::sim::object::{Kind, name};
use crate::sim::world::World;

pub(super) fn port_forward(world: &Arc<World>, asked: &Asked, request: &mut Request<Incoming>) -> Answered {
    let pod = find(world, asked, Kind::Pod)?;
    let port: u16 = asked.parsed("ports").ok_or_else(|| bad("query parameter \"ports\" is required"))?;
    let world = Arc::clone(world);
    accept(request, "v4.channel.k8s.io", async move |mut socket| {
        for channel in [0, 1] {
            send(&mut socket, channel, &port.to_le_bytes()).await?;
        }
        let Some(connection) = node::connect_pod(&world, name(&pod), port).await else {
            let refused = format!("error forwarding port {port} to pod {}: connection refused", name(&pod));
            send(&mut socket, 1, refused.as_bytes()).await?;
            return close(socket).await;
        };
        forward(socket, connection).await
    })
}

/// Copies both ways until the pod closes the connection, or the client is gone.
async fn forward(socket: Socket, mut connection: TcpStream) -> Done {
    let (mut reader, mut writer) = connection.split();
    let (mut to_client, mut from_client) = socket.split();
    let write = async {
        while let Some(message) = from_client.next().await {
            if let Message::Binary(frame) = message?
                && let Some((0, data)) = frame.split_first()
            {
                writer.write_all(data).await?;
            }
        }
        Ok(())
    };
    let read = async {
        let mut buffer = vec![0; 32 << 10];
        loop {
            let length = reader.read(&mut buffer[1..]).await?;
            if length == 0 {
                return to_client.close().await;
            }
            to_client.send(Message::binary(buffer[..=length].to_vec())).await?;
        }
    };
    tokio::select! {
        done = write => done,
        done = read => done,
    }
}
