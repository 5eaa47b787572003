//! Websockets with Kubernetes' channels: the first byte of a frame is the channel's number.

use futures::stream;
use futures::{SinkExt, StreamExt};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, Request};
use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::reply::{Reply, bad_request};

const MAX_FRAME: usize = 32 << 10;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An error means that the client has disconnected.
pub(super) type SocketResult = Result<(), tokio_tungstenite::tungstenite::Error>;

/// Accepts the upgrade; `work` runs after the response has been sent.
pub(super) fn accept<F: Future<Output = SocketResult> + Send>(
    request: &mut Request<Incoming>,
    protocol: &'static str,
    work: impl FnOnce(Socket) -> F + Send + 'static,
) -> Reply {
    let response = create_response_with_body(request, || StreamBody::new(stream::empty().boxed()));
    let mut response = response.map_err(|error| bad_request(&error.to_string()))?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    let upgrade = hyper::upgrade::on(request);
    let upgraded = async move {
        let Ok(upgraded) = upgrade.await else { return };
        let _ = work(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await).await;
    };
    Ok((response, Some(Box::pin(upgraded))))
}

pub(super) async fn send(socket: &mut Socket, channel: u8, output: &[u8]) -> SocketResult {
    for chunk in output.chunks(MAX_FRAME) {
        socket.send(Message::binary([&[channel], chunk].concat())).await?;
    }
    Ok(())
}

/// Closes the websocket and waits for the client's close frame: closing TCP at once would lose frames in transit.
pub(super) async fn close(mut socket: Socket) -> SocketResult {
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}
