//! The API server of a simulated cluster: HTTP on a loopback port, reached by a kubeconfig. What the harness does not
//! ask is not there.
//!
//! Imports the world, what the node does in pods, and the codec of commands.

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

mod answer;
mod exec;
mod log;
mod objects;
mod port_forward;
mod reply;
mod request;
mod websocket;

use super::listener::serve;
use super::scenario::Answer;
use super::world::{CONTEXT, NAMESPACE, World};
use reply::{Body, Later};
use request::Asked;

struct Connection {
    world: Arc<World>,
    /// What the user has to show.
    token: String,
    later: Mutex<Option<Later>>,
    /// When the scenario cuts or silences it, by what was asked last.
    end: Sender<Option<(Duration, Answer)>>,
}

/// Begins to listen, and writes the kubeconfig that leads there; serves until the tasks are dropped.
pub(super) async fn start(world: &Arc<World>, kubeconfig: &Path, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port to listen on")?;
    let token = format!("{:032x}", rand::random::<u128>());
    let config = self::kubeconfig(listener.local_addr()?, &token);
    std::fs::write(kubeconfig, format!("{config:#}\n")).context("the kubeconfig cannot be written")?;
    let world = Arc::clone(world);
    let served = serve(listener, move |stream| {
        let (world, token) = (Arc::clone(&world), token.clone());
        let connection = Connection { world, token, later: Mutex::default(), end: Sender::new(None) };
        connection.serve(stream)
    });
    tasks.spawn(served.boxed());
    Ok(())
}

/// The kubeconfig of the one user; its JSON is YAML, too.
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
    /// Serves it to its end, or to where the scenario ends it.
    async fn serve(self, stream: TcpStream) {
        // Not dropped where it falls silent, and with it the stream: that would close it.
        let mut work = pin!(async {
            // Small frames are not kept back.
            let _ = stream.set_nodelay(true);
            let mut http = http1::Builder::new();
            // It has to be the simulated clock's.
            http.auto_date_header(false);
            let service = service_fn(|request| self.answer(request));
            // A client may go at any moment.
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            let later = self.later.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(later) = later {
                later.await;
            }
        });
        tokio::select! {
            biased;
            answer = self.ends() => if answer == Answer::Silence { pending().await },
            () = &mut work => {}
        }
    }

    /// From a request to its answer, or to what the scenario does instead.
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let world = &self.world;
        let number = world.asked();
        let elapsed = world.elapsed();
        let asked = Asked::read(request.method(), request.uri(), request.headers());
        let instead = world.scenario.answer(asked.verb, &asked.resource, elapsed);
        if let Some(answer @ (Answer::Closed | Answer::Silence)) = instead {
            self.end.send_replace(Some((elapsed, answer)));
            return pending().await;
        }
        self.end.send_replace(world.scenario.later(asked.verb, &asked.resource, elapsed));
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let answered = match instead {
            _ if token != Some(&self.token) => Err(reply::of(401, &asked)),
            Some(Answer::Status(code)) => Err(reply::of(code, &asked)),
            Some(Answer::Busy { each, seconds }) if number.is_multiple_of(each) => Err(reply::busy(seconds)),
            Some(Answer::Page(code)) => Ok((reply::page(code), None)),
            _ => answer::answer(world, asked, request, instead).await,
        };
        let (mut response, later) = answered.unwrap_or_else(|failure| (reply::failed(&failure), None));
        *self.later.lock().unwrap_or_else(PoisonError::into_inner) = later;
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&world.now());
        if let Some(date) = date.ok().and_then(|date| HeaderValue::try_from(date).ok()) {
            response.headers_mut().insert(DATE, date);
        }
        Ok(response)
    }

    /// Waits until the scenario cuts or silences it.
    async fn ends(&self) -> Answer {
        let mut end = self.end.subscribe();
        loop {
            let now = *end.borrow_and_update();
            let reached = async {
                let (after, answer) = now?;
                self.world.at(after).await;
                Some(answer)
            };
            tokio::select! {
                Some(answer) = reached => return answer,
                _ = end.changed() => {}
            }
        }
    }
}
