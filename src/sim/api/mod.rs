//! The API server of a simulated cluster: HTTPS on a loopback port, reached by a kubeconfig. What the harness does not
//! ask is not there.
//!
//! Imports the world, what the node does in pods, and the codec of commands.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use futures::future::BoxFuture;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

mod answer;
mod credentials;
mod exec;
mod failure;
mod fault;
mod log;
mod object;
mod pod;
mod port_forward;
mod request;
mod selector;
mod watch;
mod websocket;

use super::World;
use credentials::Credentials;

/// What is left to do on a connection after an upgrade.
type Later = BoxFuture<'static, ()>;

/// What connections share.
struct Server {
    world: Arc<World>,
    /// What the user has to show.
    token: String,
    acceptor: TlsAcceptor,
}

/// Begins to listen, and writes the kubeconfig that leads there; serves until the tasks are dropped.
pub(super) async fn start(world: &Arc<World>, kubeconfig: &Path, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port to listen on")?;
    let Credentials { authority, token, acceptor } = Credentials::new().context("no certificate")?;
    let config = credentials::kubeconfig(listener.local_addr()?, &authority, &token);
    std::fs::write(kubeconfig, format!("{config:#}\n")).context("the kubeconfig cannot be written")?;
    let server = Arc::new(Server { world: Arc::clone(world), token, acceptor });
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                // A connection that could not be made is the client's loss.
                Ok((stream, _)) = listener.accept() => { connections.spawn(connection(Arc::clone(&server), stream)); }
                Some(_) = connections.join_next() => {}
            }
        }
    });
    Ok(())
}

/// Serves a connection. It may end without a word at any moment: nobody is there to be told.
async fn connection(server: Arc<Server>, stream: TcpStream) {
    // Small frames are not kept back.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = server.acceptor.accept(stream).await else { return };
    let later: Mutex<Option<Later>> = Mutex::default();
    let service = service_fn(|request| answer::answer(&server, request, &later));
    let mut http = http1::Builder::new();
    // It has to be the simulated clock's.
    http.auto_date_header(false);
    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
    let later = later.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(later) = later {
        later.await;
    }
}
