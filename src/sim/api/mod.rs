//! The simulated API server: HTTP on a loopback port, described by a kubeconfig. Implements only the program's requests.
//!
//! Imports the world, the node's commands and port-forwards, and the codec of commands.

use std::convert::Infallible;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use http::header::{AUTHORIZATION, DATE};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;

mod dispatch;
mod exec;
mod log;
mod objects;
mod port_forward;
mod reply;
mod request;
mod websocket;

use super::listener::serve;
use super::scenario::ApiFault;
use super::world::{CONTEXT, NAMESPACE, World};
use reply::{Body, Upgrade};
use request::RequestInfo;

struct Connection {
    world: Arc<World>,
    token: String,
    upgrade: Mutex<Option<Upgrade>>,
    /// When and how the scenario ends this connection, by its latest request.
    end: Sender<Option<(Duration, ApiFault)>>,
}

pub(super) async fn start(world: &Arc<World>, kubeconfig: &Path, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
    let token = format!("{:032x}", rand::random::<u128>());
    let config = self::kubeconfig(listener.local_addr()?, &token);
    std::fs::write(kubeconfig, format!("{config:#}\n")).context("cannot write the kubeconfig")?;
    let world = Arc::clone(world);
    let server = serve(listener, move |stream| {
        let (world, token) = (Arc::clone(&world), token.clone());
        let connection = Connection { world, token, upgrade: Mutex::default(), end: Sender::new(None) };
        connection.serve(stream)
    });
    tasks.spawn(server.boxed());
    Ok(())
}

fn kubeconfig(address: SocketAddr, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": NAMESPACE}}],
        "current-context": CONTEXT,
    })
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Pinned here so that a silenced connection stays open: dropping the future would close the stream.
        let mut work = pin!(async {
            let _ = stream.set_nodelay(true);
            let mut http = http1::Builder::new();
            // The Date header must show the simulated clock.
            http.auto_date_header(false);
            let service = service_fn(|request| self.reply(request));
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            let upgrade = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(upgrade) = upgrade {
                upgrade.await;
            }
        });
        tokio::select! {
            biased;
            fault = self.fault() => if fault == ApiFault::Silence { pending().await },
            () = &mut work => {}
        }
    }

    async fn reply(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let world = &self.world;
        let info = RequestInfo::read(request.method(), request.uri(), request.headers());
        let number = world.count_request(world.scenario.starts_clock(&info.resource, info.name.as_deref()));
        let elapsed = world.elapsed();
        let fault = world.scenario.api_fault(info.verb, &info.resource, elapsed);
        if let Some(fault @ (ApiFault::Closed | ApiFault::Silence)) = fault {
            self.end.send_replace(Some((elapsed, fault)));
            return pending().await;
        }
        self.end.send_replace(world.scenario.next_api_fault(info.verb, &info.resource, elapsed));
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let reply = match fault {
            _ if token != Some(&self.token) => Err(reply::error(401, &info)),
            Some(ApiFault::Status(code)) => Err(reply::error(code, &info)),
            Some(ApiFault::Busy { every, seconds }) if number.is_multiple_of(every) => {
                Err(reply::too_many_requests(seconds))
            }
            Some(ApiFault::Page(code)) => Ok((reply::page(code), None)),
            _ => dispatch::dispatch(world, info, request, fault).await,
        };
        let (mut response, upgrade) = reply.unwrap_or_else(|failure| (reply::failed(&failure), None));
        *self.upgrade.lock().unwrap_or_else(PoisonError::into_inner) = upgrade;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&world.now());
        if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
            response.headers_mut().insert(DATE, date);
        }
        Ok(response)
    }

    /// Waits until the scenario closes or silences this connection.
    async fn fault(&self) -> ApiFault {
        let mut end = self.end.subscribe();
        loop {
            let now = *end.borrow_and_update();
            let reached = async {
                let (after, fault) = now?;
                self.world.sleep_until(after).await;
                Some(fault)
            };
            tokio::select! {
                Some(fault) = reached => return fault,
                _ = end.changed() => {}
            }
        }
    }
}
