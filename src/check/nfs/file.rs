//! Writes a file over NFS, for tests that follow it from there.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::client::Client;
use super::failed_session::FailedSession;
use super::failure::{Abort, Cause};
use super::route::Route;
use crate::check::Site;
use crate::check::parameter::DurationParam;
use crate::event::{Hop, Reason, Verdict};

/// How long a call may take.
const WITHIN: DurationParam = DurationParam(Duration::from_secs(20));

impl FailedSession {
    /// The verdict on a file that could not be written: FAIL; or SKIP if the export refuses clients on high ports,
    /// which port-forwards always use.
    pub fn verdict(&self) -> Verdict {
        let live = self.live.as_deref().unwrap_or_default().join(",");
        self.judge(&format!("{live}: its exports file"), WITHIN)
    }
}

/// Writes a file with CREATE, WRITE and COMMIT over a port-forward; the ledger must have it. Returns when it was
/// committed.
/// Errors: the server failed. Inconclusive if the API server makes no port-forward or the export's options cannot be
/// read.
pub async fn write_file(site: &Site, pod: &Pod, name: &str, content: &[u8]) -> Result<Instant, Abort<FailedSession>> {
    let mut client = client(site, pod);
    let abort = match write(&mut client, &site.system.export.folder, name, content).await {
        Ok(committed) => return Ok(committed),
        Err(abort) => abort,
    };
    let mut failed = client.failed_session(abort.into_failed()?).await?;
    let FailedSession { object, failure, live, .. } = &mut failed;
    if live.is_none() && !matches!(failure.cause, Cause::Exited(_)) {
        let expected = format!("the export's options in {}", site.system.export.file);
        let seen = format!("none; {} failed: {:?}", failure.call, failure.cause);
        return Err(Verdict::error(Reason::new(&*object, expected, seen)).at(Hop::Nfs).into());
    }
    // Recordings have a list here.
    live.get_or_insert_default();
    Err(Abort::Failed(failed))
}

/// Removes a file that was written over NFS but that no container sees, so that no command can remove it. Ignores
/// errors: the test has its verdict.
pub async fn remove_file(site: &Site, pod: &Pod, name: &str) {
    if let Ok(mut session) = client(site, pod).connect().await
        && let Ok(root) = session.mount(&site.system.export.folder).await
    {
        let _ = session.remove(&root, name).await;
    }
}

fn client<'a>(site: &'a Site, pod: &'a Pod) -> Client<'a> {
    Client::new(site, pod, Route::PortForward(site.system.export.port), WITHIN.0)
}

async fn write(client: &mut Client<'_>, folder: &str, name: &str, content: &[u8]) -> Result<Instant, Abort> {
    loop {
        let mut session = client.connect().await?;
        let work = async {
            let root = session.mount(folder).await?;
            let [write_size, _] = session.transfer_sizes(&root).await?;
            let file = session.create(&root, name).await?;
            session.write(&file, content, write_size).await?;
            Ok(Instant::now())
        };
        let result = work.await;
        // After MOUNT and FSINFO, CREATE may have created the file, so a retry would fail.
        let is_last = session.answered > 1;
        if let Some(committed) = client.finish(session, result, is_last).await? {
            return Ok(committed);
        }
    }
}
