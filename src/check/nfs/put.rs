//! A file that is written through NFS, for tests of what becomes of it afterwards.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::call::{Answer, Session, Trouble, What};
use super::judge::{self, Stopped};
use super::turn::{self, Turn};
use super::way::{Stream, Way};
use super::{PAUSE, SESSIONS, access, not_forwarded};
use crate::check::Site;
use crate::check::parameter::{Export, Span};
use crate::event::{Hop, Reason, Verdict};

/// Each call is answered within this time.
const WITHIN: Span = Span(Duration::from_secs(20));

#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub export: &'a Export,
    pub port: u16,
    pub file: &'a str,
}

#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// When the server had committed it.
    pub acknowledged: Instant,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Unwritten {
    object: String,
    trouble: Trouble,
    answered: u32,
    live: Vec<String>,
}

impl Unwritten {
    /// FAIL; or SKIP where the export takes no clients on high ports, from which a port-forward always comes.
    pub fn verdict(&self) -> Verdict {
        let Self { object, trouble, answered, live } = self;
        let said = format!("{}: its exports file", live.join(","));
        let (answered, from, others) = (*answered, None, &[][..]);
        let stopped = Stopped { object, trouble, answered, from, live, said, others, within: WITHIN };
        judge::stopped(&stopped).at(Hop::Nfs)
    }
}

/// Writes a file with CREATE, WRITE and COMMIT over a port-forward; it must be in the ledger.
///
/// # Errors
/// A verdict if it says nothing of the server: the API makes no port-forward, or the options cannot be read.
pub async fn put(
    site: &Site,
    pod: &Pod,
    target: Target<'_>,
    name: &str,
    content: &[u8],
) -> Result<Result<Written, Unwritten>, Verdict> {
    let Target { export, port, file } = target;
    let way = Way::Pod(port);
    let before = turn::before(site, pod, &export.container);
    let mut deadline = Instant::now() + WITHIN.0 + turn::slack(site);
    let (mut sent, mut served) = (None, 0);
    let (trouble, answered) = loop {
        let (trouble, answered) = match way.connect(site, pod, deadline).await? {
            Err(trouble) => (trouble, 0),
            Ok(mut connection) => {
                let mut turn = turn::turn(site, &mut deadline).await?;
                let mut session = Session::new(connection.stream(), WITHIN.0);
                let written = write(&mut session, export, name, content, &mut sent, &mut turn).await;
                let answered = session.answered;
                drop(session);
                match written {
                    Ok(written) => return Ok(Ok(written)),
                    Err(trouble) => {
                        let trouble = connection.explain(trouble).await;
                        (turn::explain(site, pod, &export.container, &before, trouble).await?, answered)
                    }
                }
            }
        };
        // Before anything was written the way to the server may have broken, and not the server.
        let is_passing = matches!(trouble.what, What::Ended(_) | What::Broken(_)) && sent.is_none();
        served += u32::from(answered > 0);
        if !is_passing || served >= SESSIONS || Instant::now() + PAUSE >= deadline {
            break (trouble, answered);
        }
        sleep(PAUSE).await;
    };
    let object = way.object(pod);
    let live = match trouble.what {
        // Nothing can be asked in a container that has just ended.
        What::Exited(_) => Some(Vec::new()),
        _ => access::live(site, pod, export, file).await?,
    };
    not_forwarded(site, &trouble)?;
    let Some(live) = live else {
        let seen = format!("{file} does not tell; {} gave {:?}", trouble.call, trouble.what);
        return Err(Verdict::error(Reason::new(object, "to say its export's options", seen)).at(Hop::Nfs));
    };
    Ok(Err(Unwritten { object, trouble, answered, live }))
}

/// Removes a file that was put and that no container sees: nobody else can. Whether it is there says nothing any more.
pub async fn take_back(site: &Site, pod: &Pod, target: Target<'_>, name: &str) {
    let mut deadline = Instant::now() + WITHIN.0;
    if turn::turn(site, &mut deadline).await.is_err() {
        return;
    }
    if let Ok(Ok(mut connection)) = Way::Pod(target.port).connect(site, pod, deadline).await {
        let mut session = Session::new(connection.stream(), WITHIN.0);
        if let Ok(root) = session.mount(&target.export.folder).await {
            let _ = session.remove(&root, name).await;
        }
    }
}

async fn write(
    session: &mut Session<&mut dyn Stream>,
    export: &Export,
    name: &str,
    content: &[u8],
    sent: &mut Option<Instant>,
    turn: &mut Turn,
) -> Answer<Written> {
    let root = session.mount(&export.folder).await?;
    let [most, _] = session.sizes(&root).await?;
    *turn = None;
    *sent = Some(Instant::now());
    let file = session.create(&root, name).await?;
    session.write(&file, content, most).await?;
    Ok(Written { acknowledged: Instant::now() })
}
