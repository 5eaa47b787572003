//! Runs commands in containers. Imports the node and the codec of commands.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Error;

use super::objects::container;
use super::reply::{Reply, bad_request, failure};
use super::request::RequestInfo;
use super::websocket::{Socket, accept, close, send};
use crate::cluster::{Operation, batch};
use crate::sim::node::Container;
use crate::sim::object::{name, state};
use crate::sim::scenario::ApiFault;
use crate::sim::world::World;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

pub(super) fn exec(
    world: &Arc<World>,
    info: &RequestInfo,
    request: &mut Request<Incoming>,
    fault: Option<ApiFault>,
) -> Reply {
    let (pod, name) = container(world, info)?;
    let command = info.all("command");
    let unknown = || bad_request("the simulated cluster cannot run this command");
    let (mark, operations) = batch::decode(&command).ok_or_else(unknown)?;
    let (container, mark) = (Container { world: Arc::clone(world), pod, name }, mark.to_owned());
    accept(request, "v5.channel.k8s.io", async move |mut socket| {
        let status = if state(&container.pod, &container.name)["running"].is_null() {
            let why = format!("unable to upgrade connection: container not found (\"{}\")", container.name);
            json!(failure(500, "InternalError", &format!("Internal error occurred: {why}")))
        } else {
            run(&mut socket, &container, &mark, &operations, fault).await?
        };
        if fault == Some(ApiFault::Half) {
            return Ok(());
        }
        send(&mut socket, STATUS, status.to_string().as_bytes()).await?;
        close(socket).await
    })
}

/// Sends the operations' output (under [`ApiFault::Half`], only part of the first), and returns the Status.
async fn run(
    socket: &mut Socket,
    container: &Container,
    mark: &str,
    operations: &[Operation],
    fault: Option<ApiFault>,
) -> Result<Value, Error> {
    let is_lost = match fault {
        Some(ApiFault::Slow(delay)) => {
            let mut lost = container.world.kubelet.busy.lock().await;
            sleep(delay.unsigned_abs()).await;
            lost.insert((name(&container.pod).to_owned(), operations.iter().all(Operation::has_no_output)))
        }
        _ => false,
    };
    let mut status = json!({"status": "Success"});
    for operation in operations {
        let output = container.run(operation);
        let code = i32::from(output.is_err());
        if code != 0 {
            let causes = json!([{"reason": "ExitCode", "message": batch::FAILED.to_string()}]);
            status = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}});
        }
        if is_lost {
            continue;
        }
        let [stdout, stderr] = batch::marks(mark, code);
        match output {
            Ok(output) => send(socket, STDOUT, &output).await?,
            Err(message) => send(socket, STDERR, message.as_bytes()).await?,
        }
        if fault == Some(ApiFault::Half) {
            break;
        }
        send(socket, STDOUT, stdout.as_bytes()).await?;
        send(socket, STDERR, stderr.as_bytes()).await?;
    }
    Ok(status)
}
