//! A file that is written through NFS, for tests of what becomes of it afterwards.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::attempts::Attempts;
use super::call::{Answer, Session, Trouble, What};
use super::judge::{self, Stopped};
use super::way::Way;
use crate::check::Site;
use crate::check::parameter::Span;
use crate::event::{Hop, Reason, Verdict};

/// Each call is answered within this time.
const WITHIN: Span = Span(Duration::from_secs(20));

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
        judge::stopped(&Stopped { object, trouble, answered: *answered, live, said, others: &[], within: WITHIN })
    }
}

/// Writes a file with CREATE, WRITE and COMMIT over a port-forward; it must be in the ledger. Returns when it was committed.
///
/// # Errors
/// A verdict if it says nothing of the server: the API makes no port-forward, or the options cannot be read.
pub async fn put(site: &Site, pod: &Pod, name: &str, content: &[u8]) -> Result<Result<Instant, Unwritten>, Verdict> {
    let way = Way::Pod(site.system.export.port);
    let mut attempts = Attempts::new(site, pod, &way, WITHIN.0);
    let (trouble, answered) = loop {
        let (trouble, answered) = match attempts.session().await? {
            Err(trouble) => (trouble, 0),
            Ok(mut session) => {
                let written = write(&mut session, &site.system.export.folder, name, content).await;
                let answered = session.answered;
                match written {
                    Ok(()) => return Ok(Ok(Instant::now())),
                    Err(trouble) => (attempts.ended(session, trouble).await?, answered),
                }
            }
        };
        // After MOUNT and FSINFO it may be there already.
        if answered > 1 || !attempts.again(&trouble).await {
            break (trouble, answered);
        }
    };
    let object = way.object(pod);
    let live = attempts.options(&trouble).await?;
    if live.is_none() && !matches!(trouble.what, What::Exited(_)) {
        let seen = format!("{} does not tell; {} gave {:?}", site.system.export.file, trouble.call, trouble.what);
        return Err(Verdict::error(Reason::new(object, "to say its export's options", seen)).at(Hop::Nfs));
    }
    Ok(Err(Unwritten { object, trouble, answered, live: live.unwrap_or_default() }))
}

/// Removes a file that was put and that no container sees: nobody else can. Whether it is there says nothing any more.
pub async fn take_back(site: &Site, pod: &Pod, name: &str) {
    let way = Way::Pod(site.system.export.port);
    if let Ok(Ok(mut session)) = Attempts::new(site, pod, &way, WITHIN.0).session().await
        && let Ok(root) = session.mount(&site.system.export.folder).await
    {
        let _ = session.remove(&root, name).await;
    }
}

async fn write(session: &mut Session, folder: &str, name: &str, content: &[u8]) -> Answer<()> {
    let root = session.mount(folder).await?;
    let [most, _] = session.sizes(&root).await?;
    let file = session.create(&root, name).await?;
    session.write(&file, content, most).await?;
    Ok(())
}
