//! A file that is written through NFS, for tests of what becomes of it afterwards.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::client::Client;
use super::trouble::{Halt, What};
use super::unserved::Unserved;
use super::way::Way;
use crate::check::Site;
use crate::check::parameter::Span;
use crate::event::{Hop, Reason, Verdict};

/// Each call is answered within this time.
const WITHIN: Span = Span(Duration::from_secs(20));

impl Unserved {
    /// Of a file that was not written: FAIL; or SKIP where the export takes no clients on high ports, from which a port-forward
    /// always comes.
    pub fn verdict(&self) -> Verdict {
        let live = self.live.as_deref().unwrap_or_default().join(",");
        self.judged(&format!("{live}: its exports file"), WITHIN)
    }
}

/// Writes a file with CREATE, WRITE and COMMIT over a port-forward; it must be in the ledger. Returns when it was committed.
///
/// # Errors
/// The server did not serve it. Nothing is known where the API makes no port-forward, or the options cannot be read.
pub async fn put(site: &Site, pod: &Pod, name: &str, content: &[u8]) -> Result<Instant, Halt<Unserved>> {
    let mut client = client(site, pod);
    let halt = match written(&mut client, &site.system.export.folder, name, content).await {
        Ok(committed) => return Ok(committed),
        Err(halt) => halt,
    };
    let mut unserved = client.unserved(halt.judged()?).await?;
    let Unserved { object, trouble, live, .. } = &mut unserved;
    if live.is_none() && !matches!(trouble.what, What::Exited(_)) {
        let seen = format!("{} does not tell; {} gave {:?}", site.system.export.file, trouble.call, trouble.what);
        return Err(Verdict::error(Reason::new(&*object, "to say its export's options", seen)).at(Hop::Nfs).into());
    }
    // Recordings have a list here.
    live.get_or_insert_default();
    Err(Halt::Judged(unserved))
}

/// Removes a file that was put and that no container sees: nobody else can. Whether it is there says nothing any more.
pub async fn take_back(site: &Site, pod: &Pod, name: &str) {
    if let Ok(mut session) = client(site, pod).session().await
        && let Ok(root) = session.mount(&site.system.export.folder).await
    {
        let _ = session.remove(&root, name).await;
    }
}

fn client<'a>(site: &'a Site, pod: &'a Pod) -> Client<'a> {
    Client::new(site, pod, Way::Pod(site.system.export.port), WITHIN.0)
}

async fn written(client: &mut Client<'_>, folder: &str, name: &str, content: &[u8]) -> Result<Instant, Halt> {
    loop {
        let mut session = client.session().await?;
        let write = async {
            let root = session.mount(folder).await?;
            let [most, _] = session.sizes(&root).await?;
            let file = session.create(&root, name).await?;
            session.write(&file, content, most).await?;
            Ok(Instant::now())
        };
        let end = write.await;
        // After MOUNT and FSINFO it may be there already.
        let is_last = session.answered > 1;
        if let Some(committed) = client.ended(session, end, is_last).await? {
            return Ok(committed);
        }
    }
}
