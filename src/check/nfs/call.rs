//! One NFS session's connection: RPC calls with deadlines of their own and the session's, what came of them, and MOUNT. Replies
//! are somebody else's: nothing in them is believed that was not asked for.

use std::io::ErrorKind;
use std::time::Duration;

use futures::future::BoxFuture;
use nfs3_client::RpcError;
use nfs3_client::nfs3_types::mount::{self, FHSIZE3, MOUNT_PROGRAM, dirpath, mountres3};
use nfs3_client::nfs3_types::nfs3::{self, NFS_PROGRAM, Nfs3Result, nfs_fh3};
use nfs3_client::nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_client::nfs3_types::xdr_codec::{Opaque, Pack, Unpack};
use nfs3_client::rpc::RpcClient;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout, timeout_at};

use super::record::{Bounded, Records};
use super::turn::{Exit, Turn};
use super::way::{Connection, Stream, TAKE};

/// All calls of a session are answered within so many times the time of one.
pub const SESSION: u32 = 3;
/// What is done before the first call.
pub const CONNECT: &str = "connect";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub call: String,
    pub what: What,
}

/// What came of a call that did not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// No answer in the call's time, or in the session's.
    Silent,
    /// The node was not reached, which may be the network's fault; how that showed.
    Unreachable(String),
    /// The port-forward has a trouble of its own; what the node says.
    Broken(String),
    /// The connection was not taken, or ended; why.
    Ended(String),
    Exited(Box<Exit>),
    /// The answer is a status other than OK, or a refusal of the call.
    Refused(String),
    /// The answer is none to what was asked; what was expected, and what was seen.
    Wrong(String, String),
}

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

pub type Answer<T> = Result<T, Trouble>;

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

    async fn call<R: Unpack>(
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

    pub async fn mount(&mut self, path: &str) -> Answer<nfs_fh3> {
        let name = format!("MOUNT {path}");
        let number = [mount::PROGRAM, mount::VERSION, MOUNT_PROGRAM::MOUNTPROC3_MNT as u32];
        let what = match self.call(&name, number, &dirpath(Opaque::borrowed(path.as_bytes()))).await? {
            mountres3::Ok(mounted) if mounted.fhandle.0.len() <= FHSIZE3 => {
                return Ok(nfs_fh3 { data: mounted.fhandle.0 });
            }
            mountres3::Ok(mounted) => {
                let seen = format!("one of {} bytes", mounted.fhandle.0.len());
                What::Wrong(format!("a handle of at most {FHSIZE3} bytes"), seen)
            }
            mountres3::Err(status) => What::Refused(status.to_string()),
        };
        Err(Trouble { call: name, what })
    }
}

impl Trouble {
    /// The status that the server refused the call with; empty if it did not.
    pub fn status(&self) -> &str {
        if let What::Refused(status) = &self.what { status } else { "" }
    }
}

/// An answer to a call that is none.
pub fn wrong(call: &str, expected: impl Into<String>, seen: impl Into<String>) -> Trouble {
    Trouble { call: call.to_owned(), what: What::Wrong(expected.into(), seen.into()) }
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
    async fn a_mount_gives_a_handle_or_says_why_not() {
        let mut good = session(vec![vec![0, 5, 0x726f_6f74, 0x2100_0000, 2, 0, 1]]);
        assert_eq!(good.mount("/data").await.unwrap().data.as_ref(), b"root!");
        assert_eq!(good.answered, 1);
        let refused = session(vec![vec![13]]).mount("/data").await.unwrap_err();
        assert_eq!(refused.what, What::Refused("MNT3ERR_ACCES".into()));
    }

    #[tokio::test]
    async fn silence_and_an_end_are_told_apart() {
        let silent = session(vec![]).mount("/data").await.unwrap_err();
        assert_eq!(silent, Trouble { call: "MOUNT /data".into(), what: What::Silent });
        let (client, _) = duplex(64);
        let ended = over(client, Duration::from_secs(10)).mount("/data").await.unwrap_err();
        assert!(matches!(ended.what, What::Ended(_)), "{ended:?}");
    }

    #[tokio::test]
    async fn hostile_answers_end_in_an_error() {
        for body in [vec![], vec![0], vec![0, u32::MAX], vec![0, 4, 1, u32::MAX], vec![0, 4, 1, 0, 7], vec![77]] {
            let trouble = session(vec![body]).mount("/data").await.unwrap_err();
            assert!(matches!(trouble.what, What::Wrong(..)), "{trouble:?}");
        }
    }
}
