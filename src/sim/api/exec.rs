//! Commands in containers, by the node. Imports the node and the codec of commands.

use std::sync::Arc;

use futures::SinkExt;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::super::{World, node};
use super::failure::Failure;
use super::fault::{Body, Faults};
use super::request::Asked;
use super::websocket::{Broken, Socket, accept, close, frames, open};
use super::{Later, pod};
use crate::cluster::batch;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Agrees to run a command; it runs when the answer was sent.
pub(super) fn exec(
    world: &Arc<World>,
    asked: &Asked,
    request: &mut Request<Incoming>,
    faults: Faults,
) -> Result<(Response<Body>, Later), Failure> {
    let (pod, container) = pod::container(world, asked)?;
    let (response, upgrade) = accept(request, "v5.channel.k8s.io")?;
    let command = Command { world: Arc::clone(world), pod, container, words: asked.all("command") };
    let later = async move {
        let Some(mut socket) = open(upgrade).await else { return };
        // Whoever has gone hears no more.
        faults.during(async { command.run(&mut socket, faults.is_half()).await.unwrap_or_default() }).await;
    };
    Ok((response, Box::pin(later)))
}

struct Command {
    world: Arc<World>,
    pod: String,
    container: String,
    words: Vec<String>,
}

impl Command {
    async fn run(&self, socket: &mut Socket, is_half: bool) -> Result<(), Broken> {
        // The real one begins so.
        socket.send(Message::binary([STDOUT].as_slice())).await?;
        let status = if pod::state(&self.world, &self.pod, &self.container)["running"].is_null() {
            not_running(&self.container)
        } else if let Some((mark, operations)) = batch::decode(&self.words) {
            for operation in &operations {
                let done = node::command::run(&self.world, &self.pod, &self.container, operation).await;
                let [stdout, stderr] = batch::marks(mark, done.code);
                let outputs = [(STDOUT, &done.stdout[..]), (STDOUT, stdout.as_bytes())];
                let outputs = outputs.into_iter().chain([(STDERR, &done.stderr[..]), (STDERR, stderr.as_bytes())]);
                for frame in outputs.flat_map(|(channel, output)| frames(channel, output)) {
                    socket.send(frame).await?;
                    if is_half {
                        return Ok(());
                    }
                }
            }
            json!({"metadata": {}, "status": "Success"})
        } else {
            let unknown = format!("sh: {}: not found\n", self.words.first().map_or("", String::as_str));
            for frame in frames(STDERR, unknown.as_bytes()) {
                socket.send(frame).await?;
            }
            exited(127)
        };
        if !is_half {
            socket.send(Message::binary([&[STATUS], status.to_string().as_bytes()].concat())).await?;
            close(socket).await;
        }
        Ok(())
    }
}

fn exited(code: i32) -> Value {
    let message = format!("command terminated with non-zero exit code: command terminated with exit code {code}");
    let cause = json!({"reason": "ExitCode", "message": code.to_string()});
    json!({
        "metadata": {}, "status": "Failure", "message": message, "reason": "NonZeroExitCode",
        "details": {"causes": [cause]},
    })
}

fn not_running(container: &str) -> Value {
    let cause = format!("unable to upgrade connection: container not found (\"{container}\")");
    json!({
        "metadata": {}, "status": "Failure", "message": format!("Internal error occurred: {cause}"),
        "reason": "InternalError", "details": {"causes": [{"message": cause}]}, "code": 500,
    })
}
