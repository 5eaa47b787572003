//! The sessions of a test of an NFS server: what is put into its export, tried over NFS, and looked at in its container.

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::calls::Listed;
use super::client::Client;
use super::session::Session;
use super::trouble::{Halt, Trouble, What, wrong};
use crate::check::{Placed, Site};
use crate::cluster::Operation;
use crate::event::{Reason, Verdict};
use crate::random;

/// The size of the file that is written: several calls' worth.
const SIZE: usize = 6_000;
/// The file that says that a folder is the one that was made.
const MADE: &str = "made.txt";

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    pub answered: u32,
    pub writes: u32,
    pub listed: Option<Listed>,
    /// What is in the export after the file was written, as a container sees it: what differs, if anything does.
    pub export: Option<Result<(), String>>,
    /// What a read-only server refused CREATE with; `None` if it did not.
    pub refused: Option<String>,
}

pub struct Work<'a> {
    site: &'a Site,
    pod: &'a Pod,
    read_only: bool,
    pub mounted: String,
    /// Whether that is a folder of the run's own, with which everything in it goes.
    is_nested: bool,
    put: Option<Put>,
}

/// What was put into the mounted folder through the container.
struct Put {
    name: String,
    content: String,
    /// The file, or the folder of the run's own that it is in.
    exported: Placed,
}

impl<'a> Work<'a> {
    /// Puts what will be read where nothing can be written through NFS, or where a folder is mounted by itself: `path`.
    pub async fn prepare(site: &'a Site, pod: &'a Pod, path: Option<&str>, read_only: bool) -> Result<Self, Verdict> {
        let (root, container) = (&site.system.export.folder, &site.system.export.container);
        let is_nested = path.is_some();
        let mut work = Self { site, pod, read_only, mounted: root.clone(), is_nested, put: None };
        if !is_nested && !read_only {
            return Ok(work);
        }
        let own = site.file(if is_nested { "folder" } else { "read.txt" });
        let exported = site.place(pod, &own);
        let name = if is_nested { MADE.to_owned() } else { own.name.clone() };
        let content = format!("made for {}", own.name);
        let write = if let Some(path) = path {
            work.mounted = format!("{root}/{}/{path}", own.name);
            Operation::WriteNested { folder: work.mounted.clone(), name: name.clone(), content: content.clone() }
        } else {
            Operation::Write { path: site.path(&name), content: content.clone() }
        };
        let (_, problem) = site.in_export(pod, &write).await?;
        if let Some(problem) = problem {
            let object = format!("export {root} of container {container}");
            let reason = Reason::new(object, format!("to take {}, to be read through NFS", own.name), problem);
            let by = format!("subfolder::{}", site.server());
            return Err(Verdict::blocked(by, reason.hint("look whether the export is full or read-only")));
        }
        work.put = Some(Put { name, content, exported });
        Ok(work)
    }

    /// Has sessions with the server until one went as far as the server lets it, or none may go further.
    pub async fn sessions(&self, client: &mut Client<'_>, seen: &mut Seen) -> Result<(), Halt> {
        loop {
            *seen = Seen::default();
            let mut session = client.session().await?;
            let end = self.session(&mut session, client.served, seen).await;
            if client.ended(session, end, false).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Does all that is to be tried.
    async fn session(&self, session: &mut Session, number: u32, seen: &mut Seen) -> Result<(), Halt> {
        let root = session.mount(&self.mounted).await?;
        let [write, read] = session.sizes(&root).await?;
        if let Some(Put { name, content, .. }) = &self.put {
            let file = session.lookup(&root, name).await?;
            let expected = || format!("the file, which was put into {}", self.mounted);
            let none = || wrong(&format!("LOOKUP {name}"), expected(), "no such file");
            session.read(&file.ok_or_else(none)?, content.as_bytes(), read).await?;
            if self.read_only {
                seen.listed = Some(session.list(&root, name).await?);
            }
        }
        let files = ["file", "renamed"].map(|what| self.site.file(&format!("{what}-{number}")));
        // Before they are written.
        let noted = files.iter().filter(|_| !self.is_nested).map(|file| self.site.place(self.pod, file));
        let noted: Vec<Placed> = noted.collect();
        let [first, second] = files.map(|file| file.name);
        let look = if self.read_only {
            match session.create(&root, &first).await {
                Ok(_) => session.remove(&root, &first).await?,
                Err(Trouble { what: What::Refused(status), .. }) => seen.refused = Some(status),
                Err(trouble) => return Err(trouble.into()),
            }
            None
        } else {
            let content = random::text(SIZE);
            let file = session.create(&root, &first).await?;
            seen.writes = session.write(&file, content.as_bytes(), write).await?;
            session.read(&file, content.as_bytes(), read).await?;
            seen.listed = Some(session.list(&root, &first).await?);
            let look = session.paused(self.look(&first, &content)).await;
            session.paused(self.site.quiet(self.pod)).await;
            session.rename(&root, &first, &second).await?;
            // Also where the container cannot be asked: then it cannot remove the file either.
            session.remove(&root, &second).await?;
            Some(look)
        };
        for placed in &noted {
            self.site.shared.ledger.removed(placed);
        }
        seen.export = look.transpose()?;
        Ok(())
    }

    /// What the container sees of the file that was written through NFS: what differs, if anything does.
    async fn look(&self, name: &str, content: &str) -> Result<Result<(), String>, Verdict> {
        let read = Operation::Read { path: format!("{}/{name}", self.mounted) };
        let (output, problem) = self.site.in_export(self.pod, &read).await?;
        Ok(match problem {
            Some(problem) => Err(problem),
            None if output.stdout == content.as_bytes() => Ok(()),
            None => Err(format!("{} other bytes", output.stdout.len())),
        })
    }

    /// Removes what was put into the export through the container.
    pub async fn tidy(&self) -> Result<(), Verdict> {
        let Some(Put { exported, .. }) = &self.put else { return Ok(()) };
        // What keeps it there, the end of the test says.
        self.site.remove(self.pod, exported).await.map(drop)
    }
}
