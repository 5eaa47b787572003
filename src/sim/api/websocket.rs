//! Websockets with Kubernetes' channels: the first byte of a frame says which one it belongs to.

use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::failure::Failure;
use super::fault::Body;

/// The longest piece of output in a frame.
const LONGEST: usize = 32 << 10;

/// An open websocket.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a frame could not be sent.
pub(super) type Broken = tokio_tungstenite::tungstenite::Error;

/// Agrees to the upgrade if that protocol is offered.
pub(super) fn accept(
    request: &mut Request<Incoming>,
    protocol: &'static str,
) -> Result<(Response<Body>, OnUpgrade), Failure> {
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let headers = request.headers();
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| text(headers, UPGRADE).eq_ignore_ascii_case("websocket"));
    let key = key.ok_or_else(|| Failure::bad("Upgrade request required"))?;
    if text(headers, SEC_WEBSOCKET_PROTOCOL).split(',').all(|offered| offered.trim() != protocol) {
        return Err(Failure::bad(format!("the simulated API server speaks {protocol} only")));
    }
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "Upgrade")
        .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .header(SEC_WEBSOCKET_PROTOCOL, protocol)
        .body(Empty::new().map_err(|never| match never {}).boxed_unsync());
    let response = response.map_err(|error| Failure::bad(error.to_string()))?;
    Ok((response, hyper::upgrade::on(request)))
}

/// The websocket, once the answer was sent; `None` if the client is gone.
pub(super) async fn open(upgrade: OnUpgrade) -> Option<Socket> {
    let upgraded = upgrade.await.ok()?;
    Some(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
}

/// The frames for some output.
pub(super) fn frames(channel: u8, output: &[u8]) -> impl Iterator<Item = Message> {
    output.chunks(LONGEST).map(move |chunk| Message::binary([&[channel], chunk].concat()))
}

/// Says goodbye, and waits until the client has heard it: a closed TCP connection would take what is under way with it.
pub(super) async fn close(socket: &mut Socket) {
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if socket.send(Message::Close(Some(goodbye))).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}
