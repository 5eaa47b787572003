//! Port-forwards: channel 0 carries the data, channel 1 the error message.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use http::Request;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::objects::find;
use super::reply::{Reply, bad_request};
use super::request::RequestInfo;
use super::websocket::{Socket, SocketResult, accept, close, send};
use crate::sim::node;
use crate::sim::object::{Kind, name};
use crate::sim::world::World;

pub(super) fn port_forward(world: &Arc<World>, info: &RequestInfo, request: &mut Request<Incoming>) -> Reply {
    let pod = find(world, info, Kind::Pod)?;
    let port: u16 = info.parsed("ports").ok_or_else(|| bad_request("query parameter \"ports\" is required"))?;
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

async fn forward(socket: Socket, mut connection: TcpStream) -> SocketResult {
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
