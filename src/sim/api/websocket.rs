//! Websockets with Kubernetes' channels: the first byte of a frame says which one it belongs to.

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

use super::reply::{Answered, bad};

const LONGEST: usize = 32 << 10;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What is done there ends early when the client is gone.
pub(super) type Done = Result<(), tokio_tungstenite::tungstenite::Error>;

/// Agrees to the upgrade; the work is done when the answer was sent.
pub(super) fn accept<F: Future<Output = Done> + Send>(
    request: &mut Request<Incoming>,
    protocol: &'static str,
    work: impl FnOnce(Socket) -> F + Send + 'static,
) -> Answered {
    let response = create_response_with_body(request, || StreamBody::new(stream::empty().boxed()));
    let mut response = response.map_err(|error| bad(&error.to_string()))?;
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    let upgrade = hyper::upgrade::on(request);
    let later = async move {
        let Ok(upgraded) = upgrade.await else { return };
        let _ = work(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await).await;
    };
    Ok((response, Some(Box::pin(later))))
}

/// Sends some output, in as many frames as it needs.
pub(super) async fn send(socket: &mut Socket, channel: u8, output: &[u8]) -> Done {
    for chunk in output.chunks(LONGEST) {
        socket.send(Message::binary([&[channel], chunk].concat())).await?;
    }
    Ok(())
}

/// Says goodbye, and waits until the client has heard it: a closed TCP connection would take what is under way with it.
pub(super) async fn close(mut socket: Socket) -> Done {
    socket.close(None).await?;
    while let Some(Ok(_)) = socket.next().await {}
    Ok(())
}
