//! Commands in containers, by the node. Imports the node and the codec of commands.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::super::object::{name, state};
use super::super::{World, node};
use super::answer::Answered;
use super::failure::{bad, new};
use super::objects::container;
use super::request::Asked;
use super::websocket::{Socket, accept, close, send};
use crate::cluster::{Operation, batch};

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// Agrees to run a command of the harness; only its beginning, if `is_half`.
pub(super) fn exec(world: &Arc<World>, asked: &Asked, request: &mut Request<Incoming>, is_half: bool) -> Answered {
    let (pod, container) = container(world, asked)?;
    let words = asked.all("command");
    let (mark, operations) = batch::decode(&words).ok_or_else(|| bad("the simulated node cannot run that"))?;
    let (world, mark) = (Arc::clone(world), mark.to_owned());
    accept(request, "v5.channel.k8s.io", async move |mut socket| {
        let status = if state(&pod, &container)["running"].is_null() {
            let why = format!("container not found (\"{container}\")");
            json!(new(500, "InternalError", &format!("Internal error occurred: unable to upgrade connection: {why}")))
        } else {
            run(&mut socket, &world, &pod, [&container, &mark], &operations, is_half).await?
        };
        if is_half {
            return Ok(());
        }
        send(&mut socket, STATUS, status.to_string().as_bytes()).await?;
        close(socket).await
    })
}

/// Does the operations, sends what they say, of half a command only how the first one begins, and returns the Status.
async fn run(
    socket: &mut Socket,
    world: &Arc<World>,
    pod: &Arc<Value>,
    [container, mark]: [&str; 2],
    operations: &[Operation],
    is_half: bool,
) -> Result<Value, Error> {
    let is_lost = node::begin(world, name(pod), operations).await;
    let mut status = json!({"status": "Success"});
    for operation in operations {
        let said = node::run(world, pod, container, operation).await;
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
        if is_half {
            break;
        }
        send(socket, STDOUT, stdout.as_bytes()).await?;
        send(socket, STDERR, stderr.as_bytes()).await?;
    }
    Ok(status)
}
