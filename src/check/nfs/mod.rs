//! `nfs`: MOUNT and NFSv3 calls from outside the pod work, or are refused as read-only; and what they do is done in the
//! export. Without a kernel client, so that it works where none may mount.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use nfs3_client::nfs3_types::nfs3::nfs_fh3;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::parameter::{Expected, Export, Fact, Sidecar, Span};
use super::{Kind, Need, Placed, Site};
use crate::cluster::{Operation, QUIET};
use crate::event::{Hop, Reason, Verdict};
use crate::random;

pub(super) mod access;
mod bounded;
mod call;
mod judge;
mod put;
mod record;
mod session;
mod turn;
mod way;

use access::Access;
pub(super) use put::{Target, Unwritten, put, take_back};
pub(super) use turn::{Exit, Exits};

use call::{Answer, SESSION, Session, Trouble, What, wrong};
use session::Listed;
use turn::Turn;
use way::{Port, Via, Way};

/// The size of the file that is written: several calls' worth.
const SIZE: usize = 6_000;
/// The pause before a connection that was not taken, or ended, is made again: there is no event for a port that opens.
const PAUSE: Duration = Duration::from_millis(200);
/// In so many sessions a server may answer and not come to the end: one whose connection ended is tried again, because the
/// way to the server may have broken and not the server.
const SESSIONS: u32 = 2;
/// The file that says that a folder is the one that was made.
const MADE: &str = "made.txt";

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

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    /// The server, and the way to it, for messages.
    object: String,
    /// What was mounted.
    mounted: String,
    expected: Expected,
    seen: Seen,
    /// How the last session ended.
    end: Result<(), Trouble>,
    /// The live options of the export; `None` where nobody looked or could.
    live: Option<Vec<String>>,
    /// Ports of other servers that answered when this one's node was not reached.
    others: Vec<u16>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// The port that the connection came from; `None` where only the node knows.
    from: Option<u16>,
    /// How many calls were answered.
    answered: u32,
    /// How many the file took.
    writes: u32,
    listed: Option<Listed>,
    /// What is in the export after the file was written, as a container sees it: what differs, if anything does.
    export: Option<Look>,
    /// What a read-only server refused CREATE with; `None` if it did not.
    refused: Option<String>,
}

/// What differs between a file as it was written and as a container sees it, if anything does.
type Look = Result<(), String>;

/// What the sessions of a test have in common.
struct Work<'a> {
    check: &'a Nfs,
    site: &'a Site,
    pod: &'a Pod,
    read_only: bool,
    mounted: String,
    /// What was put into the mounted folder through the container: a name and its content.
    known: Option<(String, String)>,
    /// The file or folder of the run's own, if anything was put there.
    own: Option<Placed>,
    /// In how many sessions the server has answered.
    served: u32,
}

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

    fn writes(&self) -> Option<(&Export, Option<&Sidecar>)> {
        Some((&self.export, self.sidecar.as_ref()))
    }

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(&self.access)?;
        let Some(options) = expected.text() else { return Err(self.unknown(&expected)) };
        let (pod, _) = site.pod().await?;
        site.running(&pod, &self.export.container)?;
        let way = Way::find(site, &pod, self.via, &self.port).await?;
        let mut work = self.prepare(site, &pod, self.access(&options) == Access::ReadOnly).await?;
        let (seen, end, others) = work.sessions(&way).await?;
        let live = match &end {
            // Nothing can be asked in a container that has just ended, and its options are not to blame.
            Ok(()) | Err(Trouble { what: What::Exited(_), .. }) => None,
            // Also whether the node does what it is asked at all.
            _ => access::live(site, &pod, &self.export, &self.file).await?,
        };
        if let Err(trouble) = &end {
            not_forwarded(site, trouble)?;
        }
        if end.is_ok() {
            work.tidy().await?;
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

    /// Puts what will be read where nothing can be written through NFS, or where a folder is mounted by itself.
    async fn prepare<'a>(&'a self, site: &'a Site, pod: &'a Arc<Pod>, read_only: bool) -> Result<Work<'a>, Verdict> {
        let (root, container) = (&self.export.folder, &self.export.container);
        let (check, mounted) = (self, root.clone());
        let mut work = Work { check, site, pod, read_only, mounted, known: None, own: None, served: 0 };
        let (own, operation) = match &self.path {
            Some(path) => {
                let own = site.file("folder");
                let content = format!("made for {}", own.name);
                work.mounted = format!("{root}/{}/{path}", own.name);
                work.known = Some((MADE.to_owned(), content.clone()));
                (own, Operation::WriteNested { folder: work.mounted.clone(), name: MADE.to_owned(), content })
            }
            None if read_only => {
                let own = site.file("read.txt");
                let content = format!("written for {}", own.name);
                work.known = Some((own.name.clone(), content.clone()));
                let path = format!("{root}/{}", own.name);
                (own, Operation::Write { path, content })
            }
            None => return Ok(work),
        };
        work.own = Some(site.place(pod, &self.export, self.sidecar.as_ref(), &own));
        let (_, problem) = site.try_exec(pod, container, &operation).await?;
        if let Some(problem) = problem {
            let object = format!("export {root} of container {container}");
            let reason = Reason::new(object, format!("to take {}, to be read through NFS", own.name), problem);
            let by = format!("subfolder::{}", site.server());
            return Err(Verdict::blocked(by, reason.hint("look whether the export is full or read-only")));
        }
        Ok(work)
    }
}

impl Work<'_> {
    /// Has sessions with the server until one went as far as the server lets it, or the time is over.
    async fn sessions(&mut self, way: &Way) -> Result<(Seen, Result<(), Trouble>, Vec<u16>), Verdict> {
        let (site, within) = (self.site, self.check.within);
        site.waiting(format!("the NFS server to answer for {}", self.mounted), within.0 * SESSION);
        let mut deadline = Instant::now() + within.0 + turn::slack(site);
        let container = &self.check.export.container;
        let before = turn::before(site, self.pod, container);
        loop {
            let mut seen = Seen::default();
            let end = match way.connect(site, self.pod, deadline).await? {
                Err(trouble) => Err(trouble),
                Ok(mut connection) => {
                    let mut turn = turn::turn(site, &mut deadline).await?;
                    seen.from = connection.from();
                    let mut session = Session::new(connection.stream(), within.0);
                    let end = self.session(&mut session, &mut seen, &mut turn).await;
                    deadline += session.paused;
                    seen.answered = session.answered;
                    drop(session);
                    self.served += u32::from(seen.answered > 0);
                    match end {
                        Ok(done) => Ok(done?),
                        Err(trouble) => {
                            let trouble = connection.explain(trouble).await;
                            Err(turn::explain(site, self.pod, container, &before, trouble).await?)
                        }
                    }
                }
            };
            let is_passing =
                matches!(&end, Err(Trouble { what: What::Ended(_) | What::Broken(_) | What::Unreachable(_), .. }));
            if !is_passing || self.served >= SESSIONS || Instant::now() + PAUSE >= deadline {
                let is_unreachable = matches!(&end, Err(Trouble { what: What::Unreachable(_), .. }));
                let others = if is_unreachable { way.answering().await } else { Vec::new() };
                return Ok((seen, end, others));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Does all that is to be tried; a verdict if the container cannot be asked.
    async fn session(
        &self,
        session: &mut Session<&mut dyn way::Stream>,
        seen: &mut Seen,
        turn: &mut Turn,
    ) -> Answer<Result<(), Verdict>> {
        let root = session.mount(&self.mounted).await?;
        let [write, read] = session.sizes(&root).await?;
        // It has survived its first request.
        *turn = None;
        if let Some((name, content)) = &self.known {
            let file = session.lookup(&root, name).await?;
            let expected = || format!("the file, which was put into {}", self.mounted);
            let none = || wrong(&format!("LOOKUP {name}"), expected(), "no such file");
            session.read(&file.ok_or_else(none)?, content.as_bytes(), read).await?;
            if self.read_only {
                seen.listed = Some(session.list(&root, name).await?);
            }
        }
        let [first, second] = ["file", "renamed"].map(|what| self.site.file(&format!("{what}-{}", self.served)));
        let placed = self.place(&[&first, &second]);
        let (first, second) = (first.name, second.name);
        let looked = if self.read_only {
            match session.create(&root, &first).await {
                Ok(_) => session.remove(&root, &first).await?,
                Err(Trouble { what: What::Refused(status), .. }) => seen.refused = Some(status),
                Err(trouble) => return Err(trouble),
            }
            Ok(None)
        } else {
            self.write(session, &root, [&first, &second], [write, read], seen).await?.map(Some)
        };
        for placed in &placed {
            self.site.shared.ledger.removed(placed);
        }
        Ok(looked.map(|look| seen.export = look))
    }

    /// Writes a file, has the container look at it, renames and removes it; returns what the container saw.
    async fn write(
        &self,
        session: &mut Session<&mut dyn way::Stream>,
        root: &nfs_fh3,
        [first, second]: [&str; 2],
        [write, read]: [u32; 2],
        seen: &mut Seen,
    ) -> Answer<Result<Look, Verdict>> {
        let content = random::text(SIZE);
        let file = session.create(root, first).await?;
        seen.writes = session.write(&file, content.as_bytes(), write).await?;
        session.read(&file, content.as_bytes(), read).await?;
        seen.listed = Some(session.list(root, first).await?);
        let looked = session.paused(self.look(first, &content)).await;
        session.paused(self.quiet()).await;
        session.rename(root, first, second).await?;
        // Also where the container cannot be asked: then it cannot remove the file either.
        session.remove(root, second).await?;
        Ok(looked)
    }

    /// Notes files before they are written; those in a folder of the run's own go with it.
    fn place(&self, files: &[&Placed]) -> Vec<Placed> {
        if self.check.path.is_some() {
            return Vec::new();
        }
        let (check, site) = (self.check, self.site);
        // Nothing should be written there at all, nor copied.
        let sidecar = check.sidecar.as_ref().filter(|_| !self.read_only);
        files.iter().map(|file| site.place(self.pod, &check.export, sidecar, file)).collect()
    }

    /// What the container sees of the file that was written through NFS: what differs, if anything does.
    async fn look(&self, name: &str, content: &str) -> Result<Look, Verdict> {
        let read = Operation::Read { path: format!("{}/{name}", self.mounted) };
        let (output, problem) = self.site.try_exec(self.pod, &self.check.export.container, &read).await?;
        Ok(match problem {
            Some(problem) => Err(problem),
            None if output.stdout == content.as_bytes() => Ok(()),
            None => Err(format!("{} other bytes", output.stdout.len())),
        })
    }

    /// Waits for a moment between two cycles of the sidecar.
    async fn quiet(&self) {
        let sidecar = self.check.sidecar.as_ref();
        if let Some(cycles) = sidecar.and_then(|sidecar| self.site.cycles(self.pod, sidecar)) {
            // Gone on in any case: if no quiet moment is seen, nothing is known to be in the middle of a cycle either.
            cycles.quiet(Instant::now() + QUIET).await;
        }
    }

    /// Removes what was put into the export through the container.
    async fn tidy(&self) -> Result<(), Verdict> {
        let Some(own) = &self.own else { return Ok(()) };
        self.quiet().await;
        let path = format!("{}/{}", self.check.export.folder, own.name);
        let remove = Operation::Remove { path };
        let (_, problem) = self.site.try_exec(self.pod, &self.check.export.container, &remove).await?;
        if problem.is_none() {
            self.site.shared.ledger.removed(own);
        }
        Ok(())
    }
}

/// ERROR if it was not the server that ended the connection.
fn not_forwarded(site: &Site, trouble: &Trouble) -> Result<(), Verdict> {
    let What::Broken(why) = &trouble.what else { return Ok(()) };
    let object = format!("cluster {}", site.shared.cluster.context());
    let reason = Reason::new(object, "to forward a port of the pod", why);
    Err(Verdict::error(reason.hint("try kubectl port-forward; look at the node's kubelet")))
}
