//! The API server of a simulated cluster: HTTP on a loopback port, reached by a kubeconfig. What the harness does not
//! ask is not there.
//!
//! Imports the world, what the node does in pods, and the codec of commands.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch::Sender;
use tokio::task::JoinSet;

mod answer;
mod exec;
mod failure;
mod log;
mod objects;
mod port_forward;
mod request;
mod watch;
mod websocket;

use super::scenario::Answer;
use super::{CONTEXT, NAMESPACE, World};

type Later = BoxFuture<'static, ()>;

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
    let served = super::serve(listener, move |stream| {
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
        let work = async {
            // Small frames are not kept back.
            let _ = stream.set_nodelay(true);
            let mut http = http1::Builder::new();
            // It has to be the simulated clock's.
            http.auto_date_header(false);
            let service = service_fn(|request| answer::answer(&self, request));
            // A client may go at any moment.
            let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            let later = self.later.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(later) = later {
                later.await;
            }
        };
        tokio::select! {
            biased;
            answer = self.ends() => if answer == Answer::Silence { pending().await },
            () = work => {}
        }
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
