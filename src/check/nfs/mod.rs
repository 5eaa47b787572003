//! `nfs`: MOUNT and NFSv3 calls from outside the pod succeed, or are refused as read-only, and take effect in the
//! export. Without a kernel client, so that it needs no right to mount.

use serde::{Deserialize, Serialize};

use super::parameter::{DurationParam, Expected};
use super::{Kind, Need, Part, Site, System};
use crate::event::{Hop, Verdict};

pub(super) mod access;
mod calls;
mod client;
mod exercise;
mod failed_session;
mod failure;
mod file;
mod judge;
mod record;
mod route;
mod session;

pub(super) use failed_session::FailedSession;
pub(super) use failure::Abort;
pub(super) use file::{remove_file, write_file};

use access::Access;
use client::Client;
use exercise::{Exercise, Progress};
use failure::Failure;
use route::{Route, Via};
use session::SESSION_FACTOR;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nfs {
    /// How to reach the server.
    #[serde(default)]
    via: Via,
    /// A folder to create in the export, below a folder of the run, and to mount instead of the export itself.
    path: Option<String>,
    /// What clients may do in the export, whatever the values set; if absent, the values decide.
    requires: Option<Access>,
    /// Time limit per call; a session gets three times as long.
    within: DurationParam,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    object: String,
    mounted: String,
    expected: Expected,
    #[serde(rename = "seen")]
    progress: Progress,
    end: Result<(), Failure>,
    /// The export's live options; `None` if they were not read or could not be.
    live: Option<Vec<String>>,
    /// NodePorts of other servers that replied while this one's node was unreachable.
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

    fn sync_cycles(&self) -> Option<u8> {
        Some(0)
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(access::expected_options(&site.system, self.requires).as_ref())?;
        let Some(options) = expected.text() else { return Err(access::undefined(&site.system, &expected)) };
        let (pod, _) = site.pod().await?;
        site.require_running(&pod, &site.system.export.container)?;
        let route = Route::find(site, &pod, self.via).await?;
        let read_only = self.access(&options) == Access::ReadOnly;
        let exercise = Exercise::prepare(site, &pod, self.path.as_deref(), read_only).await?;
        site.waiting(format!("the NFS server to serve {}", exercise.mounted), self.within.0 * SESSION_FACTOR);
        let mut client = Client::new(site, &pod, route, self.within.0);
        let mut progress = Progress::default();
        let result = exercise.run(&mut client, &mut progress).await;
        progress.answered = client.answered;
        let failed = match result {
            Ok(()) => exercise.clean_up().await.map(|()| None)?,
            Err(abort) => Some(client.failed_session(abort.into_failed()?).await?),
        };
        let (end, live, others) =
            failed.map_or((Ok(()), None, Vec::new()), |failed| (Err(failed.failure), failed.live, failed.others));
        let (object, mounted) = (client.object(), exercise.mounted);
        Ok(Observation { object, mounted, expected, progress, end, live, others })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        self.judged(system, seen)
    }
}

impl Nfs {
    /// What clients may do: what the suite requires, else what the options allow.
    fn access(&self, options: &str) -> Access {
        self.requires.unwrap_or_else(|| Access::from_options(options))
    }
}
