//! `nfs`: MOUNT and NFSv3 calls from outside the pod work, or are refused as read-only; and what they do is done in the
//! export. Without a kernel client, so that it works where none may mount.

use serde::{Deserialize, Serialize};

use super::parameter::{Expected, Span};
use super::{Kind, Need, Part, Site, System};
use crate::event::{Hop, Verdict};

pub(super) mod access;
mod calls;
mod client;
mod judge;
mod put;
mod record;
mod session;
mod trouble;
mod unserved;
mod way;
mod work;

pub(super) use put::{put, take_back};
pub(super) use trouble::Halt;
pub(super) use unserved::Unserved;

use access::Access;
use client::Client;
use session::SESSION;
use trouble::Trouble;
use way::{Via, Way};
use work::{Seen, Work};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nfs {
    /// How the server is reached.
    #[serde(default)]
    via: Via,
    /// A folder that is made at run time in one of the run's own in the export, and mounted by itself.
    path: Option<String>,
    /// What clients may do there, whatever the values say; where it is not said, the values decide.
    requires: Option<Access>,
    /// Each call is answered within this time, and all of a session within three times as long.
    within: Span,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    object: String,
    mounted: String,
    expected: Expected,
    seen: Seen,
    end: Result<(), Trouble>,
    /// The live options of the export; `None` where nobody looked or could.
    live: Option<Vec<String>>,
    /// Ports of other servers that answered when this one's node was not reached.
    others: Vec<u16>,
}

impl Kind for Nfs {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Commands];
    const PARTS: &'static [Part] = &[Part::ExportOptions];
    const MAY_NEED: &'static [Need] = &[Need::Services, Need::PortForward];

    fn needs(&self) -> &'static [Need] {
        match self.via {
            Via::PortForward => &[Need::Values, Need::Commands, Need::PortForward],
            Via::NodePort => &[Need::Values, Need::Services, Need::Commands],
        }
    }

    fn writes(&self) -> Option<u8> {
        Some(0)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(access::options(&site.system, self.requires).as_ref())?;
        let Some(options) = expected.text() else { return Err(access::unknown(&site.system, &expected)) };
        let (pod, _) = site.pod().await?;
        site.running(&pod, &site.system.export.container)?;
        let way = Way::find(site, &pod, self.via).await?;
        let read_only = self.access(&options) == Access::ReadOnly;
        let work = Work::prepare(site, &pod, self.path.as_deref(), read_only).await?;
        site.waiting(format!("the NFS server to answer for {}", work.mounted), self.within.0 * SESSION);
        let mut client = Client::new(site, &pod, way, self.within.0);
        let mut seen = Seen::default();
        let worked = work.sessions(&mut client, &mut seen).await;
        seen.answered = client.answered;
        let unserved = match worked {
            Ok(()) => work.tidy().await.map(|()| None)?,
            Err(halt) => Some(client.unserved(halt.judged()?).await?),
        };
        let (end, live, others) =
            unserved.map_or((Ok(()), None, Vec::new()), |it| (Err(it.trouble), it.live, it.others));
        let (object, mounted) = (client.object(), work.mounted);
        Ok(Observation { object, mounted, expected, seen, end, live, others })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        self.judged(system, seen)
    }
}

impl Nfs {
    /// What clients may do: what the suite requires, or else what the options say.
    fn access(&self, options: &str) -> Access {
        self.requires.unwrap_or_else(|| Access::of(options))
    }
}
