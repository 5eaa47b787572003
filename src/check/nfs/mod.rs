//! `nfs`: MOUNT and NFSv3 calls from outside the pod work, or are refused as read-only; and what they do is done in the
//! export. Without a kernel client, so that it works where none may mount.

use serde::{Deserialize, Serialize};

use super::parameter::{Expected, Export, Fact, Sidecar, Span};
use super::{Kind, Need, Site, Writes};
use crate::event::{Hop, Reason, Verdict};

pub(super) mod access;
mod attempts;
mod call;
mod judge;
mod put;
mod record;
mod session;
mod turn;
mod way;
mod work;

pub(super) use put::{Target, Unwritten, put, take_back};
pub(super) use turn::{Exit, Exits};

use access::Access;
use attempts::Attempts;
use call::{Trouble, What};
use session::Listed;
use way::{Port, Via, Way};
use work::Work;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nfs {
    /// The port: the container's for a port-forward, the node's for a NodePort.
    port: Port,
    /// How the server is reached.
    #[serde(default)]
    via: Via,
    /// The export, in the server's container.
    export: Export,
    /// A folder that is made at run time in one of the run's own in the export, and mounted by itself.
    path: Option<String>,
    /// The export's options: with `ro`, nothing can be written.
    access: Fact,
    /// What clients may do there, whatever the values say; where it is not said, the values decide.
    requires: Option<Access>,
    /// The file that the server reads its exports from, in the format of exports(5).
    file: String,
    /// Each call is answered within this time, and all of a session within three times as long.
    within: Span,
    /// What copies the export, where a server has that: files are renamed and removed between two of its cycles.
    sidecar: Option<Sidecar>,
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

#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    answered: u32,
    writes: u32,
    listed: Option<Listed>,
    /// What is in the export after the file was written, as a container sees it: what differs, if anything does.
    export: Option<Look>,
    /// What a read-only server refused CREATE with; `None` if it did not.
    refused: Option<String>,
}

/// What differs between a file as it was written and as a container sees it, if anything does.
type Look = Result<(), String>;

impl Kind for Nfs {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Commands];
    const MAY_NEED: &'static [Need] = &[Need::Services, Need::PortForward];

    fn needs(&self) -> &'static [Need] {
        match (self.via, &self.port) {
            (Via::PortForward, Port::Number(_)) => &[Need::Values, Need::Commands, Need::PortForward],
            (Via::PortForward, Port::Fact(_)) => &[Need::Values, Need::Services, Need::Commands, Need::PortForward],
            (Via::NodePort, _) => &[Need::Values, Need::Services, Need::Commands],
        }
    }

    fn writes(&self) -> Option<Writes<'_>> {
        let sidecar = self.sidecar.as_ref();
        Some(Writes { export: &self.export, sidecar, cycles: 0 })
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(&self.access)?;
        let Some(options) = expected.text() else { return Err(self.unknown(&expected)) };
        let (pod, _) = site.pod().await?;
        site.running(&pod, &self.export.container)?;
        let way = Way::find(site, &pod, self.via, &self.port).await?;
        let work = Work::prepare(self, site, &pod, self.access(&options) == Access::ReadOnly).await?;
        let mut attempts = Attempts::new(site, &pod, &self.export, &way, self.within.0);
        let (seen, end) = work.sessions(&mut attempts).await?;
        let (mut live, mut others) = (None, Vec::new());
        match &end {
            Ok(()) => work.tidy().await?,
            Err(trouble) => {
                live = attempts.options(trouble, &self.file).await?;
                if let What::Unreachable(_) = trouble.what {
                    others = way.answering(site, &self.port).await?;
                }
            }
        }
        let (object, mounted) = (way.object(&pod), work.mounted);
        Ok(Observation { object, mounted, expected, seen, end, live, others })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        judge::judge(self, seen)
    }
}

impl Nfs {
    /// What clients may do: what the suite requires, or else what the options say.
    fn access(&self, options: &str) -> Access {
        self.requires.unwrap_or_else(|| Access::of(options))
    }

    /// ERROR, because nobody says what clients may do.
    fn unknown(&self, expected: &Expected) -> Verdict {
        let reason = Reason::new("values", format!("{} of the server", self.access.values), &expected.source);
        Verdict::error(reason.hint("say it there, or give the check a default"))
    }
}
