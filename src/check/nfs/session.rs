//! One session with an NFS server: a connection, and RPC calls with a deadline for each and one for all. Replies are
//! untrusted.

use std::io::ErrorKind;
use std::time::Duration;

use futures::future::BoxFuture;
use nfs3_client::RpcError;
use nfs3_client::nfs3_types::nfs3::{self, NFS_PROGRAM, Nfs3Result};
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::{Opaque, Pack, Unpack};
use nfs3_client::rpc::RpcClient;
use tokio::time::{Instant, timeout, timeout_at};

use super::failure::{CallResult, Cause, Failure};
use super::record::{Bounded, Records};
use super::route::{Connection, NODE_TIMEOUT, Stream};
use crate::check::server_exits::Turn;

/// How many times as long as one call a whole session may take.
pub const SESSION_FACTOR: u32 = 3;

pub struct Session {
    rpc: RpcClient<Records<Box<dyn Stream>>>,
    /// The node's error after a port-forward has ended.
    node_error: BoxFuture<'static, Option<String>>,
    /// Held until the server has survived its first request.
    pub turn: Turn,
    /// How long a call may take.
    within: Duration,
    deadline: Instant,
    pub paused: Duration,
    pub answered: u32,
}

impl Session {
    /// Calls as uid 0, like the nodes of a cluster that mount an export.
    pub fn new(Connection { stream, node_error }: Connection, within: Duration, turn: Turn) -> Self {
        let credential = auth_unix { machinename: Opaque::borrowed(b"file-simulator-e2e"), ..auth_unix::default() };
        let (credential, verifier) = (opaque_auth::auth_unix(&credential), opaque_auth::default());
        let rpc = RpcClient::new_with_auth(Records::new(stream), credential, verifier);
        let deadline = Instant::now() + within * SESSION_FACTOR;
        Self { rpc, node_error, turn, within, deadline, paused: Duration::ZERO, answered: 0 }
    }

    /// Waits for work that does not count towards the deadline.
    pub async fn paused<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = work.await;
        let took = began.elapsed();
        self.deadline += took;
        self.paused += took;
        result
    }

    /// The failure of a session whose connection ended, with the node's error if there is one.
    pub async fn explain(self, failure: Failure) -> Failure {
        let Failure { call, cause: Cause::Ended(why) } = failure else { return failure };
        drop(self.rpc);
        let cause = match timeout(NODE_TIMEOUT, self.node_error).await.ok().flatten() {
            // The kubelet reports a port without a listener as refused, and a server that ended as reset; every other
            // error is the port-forward's own.
            Some(error) if !error.contains("refused") && !error.contains("reset by peer") => Cause::Broken(error),
            error => Cause::Ended(error.unwrap_or(why)),
        };
        Failure { call, cause }
    }

    pub async fn call<R: Unpack>(
        &mut self,
        name: &str,
        [program, version, procedure]: [u32; 3],
        arguments: &(impl Pack + Send + Sync),
    ) -> CallResult<R> {
        let began = Instant::now();
        let call = self.rpc.call(program, version, procedure, arguments);
        let cause = match timeout_at(self.deadline.min(began + self.within), call).await {
            Ok(Ok(Bounded(reply))) => {
                self.answered += 1;
                return Ok(reply);
            }
            Err(_) => Cause::Silent,
            Ok(Err(RpcError::Io(error))) if error.kind() != ErrorKind::InvalidData => Cause::Ended(error.to_string()),
            Ok(Err(RpcError::Auth(why))) => Cause::Refused(why.to_string()),
            Ok(Err(error @ (RpcError::ProgUnavail | RpcError::ProcUnavail | RpcError::ProgMismatch { .. }))) => {
                Cause::Refused(error.to_string())
            }
            Ok(Err(error)) => Cause::Wrong("a valid reply".to_owned(), error.to_string()),
        };
        Err(Failure { call: name.to_owned(), cause })
    }

    pub async fn nfs<T: Unpack, E: Unpack>(
        &mut self,
        procedure: NFS_PROGRAM,
        arguments: &(impl Pack + Send + Sync),
    ) -> CallResult<T> {
        let name = procedure.to_string();
        let name = name.trim_start_matches("NFSPROC3_");
        let number = [nfs3::PROGRAM, nfs3::VERSION, procedure as u32];
        match self.call::<Nfs3Result<T, E>>(name, number, arguments).await? {
            Nfs3Result::Ok(result) => Ok(result),
            Nfs3Result::Err((status, _)) => {
                Err(Failure { call: name.to_owned(), cause: Cause::Refused(status.to_string()) })
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A session with a server that sends these reply bodies, one for each call, and then goes silent.
    pub fn session(bodies: Vec<Vec<u32>>) -> Session {
        let (client, mut server) = duplex(1 << 20);
        tokio::spawn(async move {
            for body in bodies {
                let mut header = [0; 4];
                server.read_exact(&mut header).await.unwrap();
                let mut call = vec![0; (u32::from_be_bytes(header) & 0x7fff_ffff) as usize];
                server.read_exact(&mut call).await.unwrap();
                let xid = u32::from_be_bytes(call[..4].try_into().unwrap());
                // An accepted, successful reply with an empty verifier.
                let words = [vec![xid, 1, 0, 0, 0, 0], body].concat();
                let header = u32::try_from(words.len() * 4).unwrap() | 1 << 31;
                for word in [vec![header], words].concat() {
                    server.write_all(&word.to_be_bytes()).await.unwrap();
                }
            }
            std::future::pending::<()>().await;
        });
        over(client, Duration::from_millis(200))
    }

    fn over(stream: DuplexStream, within: Duration) -> Session {
        let connection = Connection { stream: Box::new(stream), node_error: Box::pin(async { None }) };
        Session::new(connection, within, None)
    }

    #[tokio::test]
    async fn replies_refusals_silence_and_closed_connections_are_distinguished() {
        let mut server = session(vec![vec![0, 5, 0x726f_6f74, 0x2100_0000, 2, 0, 1], vec![13]]);
        assert_eq!(server.mount("/data").await.unwrap().data.as_ref(), b"root!");
        let refused = server.mount("/data").await.unwrap_err();
        assert_eq!((refused.status(), server.answered), ("MNT3ERR_ACCES", 2));
        let silent = server.mount("/data").await.unwrap_err();
        assert_eq!(silent, Failure { call: "MOUNT /data".into(), cause: Cause::Silent });
        let (client, _) = duplex(64);
        let ended = over(client, Duration::from_secs(10)).mount("/data").await.unwrap_err();
        assert!(matches!(ended.cause, Cause::Ended(_)), "{ended:?}");
    }
}
