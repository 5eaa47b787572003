//! One session with an NFS server: a connection, and RPC calls with deadlines of their own and the session's. Replies are
//! somebody else's: nothing in them is believed that was not asked for.

use std::io::ErrorKind;
use std::time::Duration;

use futures::future::BoxFuture;
use nfs3_client::RpcError;
use nfs3_client::nfs3_types::nfs3::{self, NFS_PROGRAM, Nfs3Result};
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::{Opaque, Pack, Unpack};
use nfs3_client::rpc::RpcClient;
use tokio::time::{Instant, timeout, timeout_at};

use super::record::{Bounded, Records};
use super::trouble::{Answer, Trouble, What};
use super::way::{Connection, Stream, TAKE};
use crate::check::exits::Turn;

/// All calls of a session are answered within so many times the time of one.
pub const SESSION: u32 = 3;

pub struct Session {
    rpc: RpcClient<Records<Box<dyn Stream>>>,
    /// What the node says went wrong with a port-forward, once it has ended.
    said: BoxFuture<'static, Option<String>>,
    /// Held until it is known that the server survives its first request.
    pub turn: Turn,
    /// Each call is answered within this time.
    within: Duration,
    /// When the last answer must have come.
    deadline: Instant,
    /// How long it waited for something else.
    pub paused: Duration,
    pub answered: u32,
}

impl Session {
    /// On a connection, with so much time for each call; as uid 0, as the nodes of a cluster mount it.
    pub fn new(Connection { stream, said }: Connection, within: Duration, turn: Turn) -> Self {
        let credential = auth_unix { machinename: Opaque::borrowed(b"file-simulator-e2e"), ..auth_unix::default() };
        let (credential, verifier) = (opaque_auth::auth_unix(&credential), opaque_auth::default());
        let rpc = RpcClient::new_with_auth(Records::new(stream), credential, verifier);
        let deadline = Instant::now() + within * SESSION;
        Self { rpc, said, turn, within, deadline, paused: Duration::ZERO, answered: 0 }
    }

    /// Waits for something else, for which the server is not to blame.
    pub async fn paused<T>(&mut self, work: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = work.await;
        let took = began.elapsed();
        self.deadline += took;
        self.paused += took;
        result
    }

    /// What ended it, in the node's words where it has any.
    pub async fn explain(self, trouble: Trouble) -> Trouble {
        let Trouble { call, what: What::Ended(why) } = trouble else { return trouble };
        drop(self.rpc);
        let what = match timeout(TAKE, self.said).await.ok().flatten() {
            // The kubelet's words for a port that nobody listens on, and for a server that ended; others are of its own troubles.
            Some(said) if !said.contains("refused") && !said.contains("reset by peer") => What::Broken(said),
            said => What::Ended(said.unwrap_or(why)),
        };
        Trouble { call, what }
    }

    pub async fn call<R: Unpack>(
        &mut self,
        name: &str,
        [program, version, procedure]: [u32; 3],
        arguments: &(impl Pack + Send + Sync),
    ) -> Answer<R> {
        let began = Instant::now();
        let call = self.rpc.call(program, version, procedure, arguments);
        let what = match timeout_at(self.deadline.min(began + self.within), call).await {
            Ok(Ok(Bounded(answer))) => {
                self.answered += 1;
                return Ok(answer);
            }
            Err(_) => What::Silent,
            Ok(Err(RpcError::Io(error))) if error.kind() != ErrorKind::InvalidData => What::Ended(error.to_string()),
            Ok(Err(RpcError::Auth(why))) => What::Refused(why.to_string()),
            Ok(Err(error @ (RpcError::ProgUnavail | RpcError::ProcUnavail | RpcError::ProgMismatch { .. }))) => {
                What::Refused(error.to_string())
            }
            Ok(Err(error)) => What::Wrong("an answer that can be read".to_owned(), error.to_string()),
        };
        Err(Trouble { call: name.to_owned(), what })
    }

    pub async fn nfs<T: Unpack, E: Unpack>(
        &mut self,
        procedure: NFS_PROGRAM,
        arguments: &(impl Pack + Send + Sync),
    ) -> Answer<T> {
        let name = procedure.to_string();
        let name = name.trim_start_matches("NFSPROC3_");
        let number = [nfs3::PROGRAM, nfs3::VERSION, procedure as u32];
        match self.call::<Nfs3Result<T, E>>(name, number, arguments).await? {
            Nfs3Result::Ok(answer) => Ok(answer),
            Nfs3Result::Err((status, _)) => {
                Err(Trouble { call: name.to_owned(), what: What::Refused(status.to_string()) })
            }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A session with a server that answers the calls with these bodies, one after the other, and then stays silent.
    pub fn session(bodies: Vec<Vec<u32>>) -> Session {
        let (client, mut server) = duplex(1 << 20);
        tokio::spawn(async move {
            for body in bodies {
                let mut header = [0; 4];
                server.read_exact(&mut header).await.unwrap();
                let mut call = vec![0; (u32::from_be_bytes(header) & 0x7fff_ffff) as usize];
                server.read_exact(&mut call).await.unwrap();
                let xid = u32::from_be_bytes(call[..4].try_into().unwrap());
                // A reply that was accepted, without a verifier, successful.
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
        let connection = Connection { stream: Box::new(stream), said: Box::pin(async { None }) };
        Session::new(connection, within, None)
    }

    #[tokio::test]
    async fn an_answer_a_refusal_silence_and_an_end_are_told_apart() {
        let mut server = session(vec![vec![0, 5, 0x726f_6f74, 0x2100_0000, 2, 0, 1], vec![13]]);
        assert_eq!(server.mount("/data").await.unwrap().data.as_ref(), b"root!");
        let refused = server.mount("/data").await.unwrap_err();
        assert_eq!((refused.status(), server.answered), ("MNT3ERR_ACCES", 2));
        let silent = server.mount("/data").await.unwrap_err();
        assert_eq!(silent, Trouble { call: "MOUNT /data".into(), what: What::Silent });
        let (client, _) = duplex(64);
        let ended = over(client, Duration::from_secs(10)).mount("/data").await.unwrap_err();
        assert!(matches!(ended.what, What::Ended(_)), "{ended:?}");
    }
}
