//! Commands in containers, by the node. Imports the node and the codec of commands.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Error;

use super::objects::container;
use super::reply::{Answered, bad, new};
use super::request::Asked;
use super::websocket::{Socket, accept, close, send};
use crate::cluster::{Operation, batch};
use crate::sim::node::Container;
use crate::sim::object::{name, state};
use crate::sim::scenario::Answer;
use crate::sim::world::World;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

pub(super) fn exec(
    world: &Arc<World>,
    asked: &Asked,
    request: &mut Request<Incoming>,
    instead: Option<Answer>,
) -> Answered {
    let (pod, name) = container(world, asked)?;
    let words = asked.all("command");
    let (mark, operations) = batch::decode(&words).ok_or_else(|| bad("the simulated node cannot run that"))?;
    let (container, mark) = (Container { world: Arc::clone(world), pod, name }, mark.to_owned());
    accept(request, "v5.channel.k8s.io", async move |mut socket| {
        let status = if state(&container.pod, &container.name)["running"].is_null() {
            let why = format!("unable to upgrade connection: container not found (\"{}\")", container.name);
            json!(new(500, "InternalError", &format!("Internal error occurred: {why}")))
        } else {
            run(&mut socket, &container, &mark, &operations, instead).await?
        };
        if instead == Some(Answer::Half) {
            return Ok(());
        }
        send(&mut socket, STATUS, status.to_string().as_bytes()).await?;
        close(socket).await
    })
}

/// Does the operations, sends what they say, of half a command only how the first one begins, and returns the Status.
async fn run(
    socket: &mut Socket,
    container: &Container,
    mark: &str,
    operations: &[Operation],
    instead: Option<Answer>,
) -> Result<Value, Error> {
    let is_lost = match instead {
        Some(Answer::Slow(takes)) => {
            let mut lost = container.world.kubelet.busy.lock().await;
            sleep(takes.unsigned_abs()).await;
            lost.insert((name(&container.pod).to_owned(), operations.iter().all(Operation::has_no_output)))
        }
        _ => false,
    };
    let mut status = json!({"status": "Success"});
    for operation in operations {
        let said = container.run(operation);
        let code = i32::from(said.is_err());
        if code != 0 {
            let causes = json!([{"reason": "ExitCode", "message": batch::FAILED.to_string()}]);
            status = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}});
        }
        if is_lost {
            continue;
        }
        let [stdout, stderr] = batch::marks(mark, code);
        match said {
            Ok(said) => send(socket, STDOUT, &said).await?,
            Err(why) => send(socket, STDERR, why.as_bytes()).await?,
        }
        if instead == Some(Answer::Half) {
            break;
        }
        send(socket, STDOUT, stdout.as_bytes()).await?;
        send(socket, STDERR, stderr.as_bytes()).await?;
    }
    Ok(status)
}
