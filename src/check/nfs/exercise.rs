//! Exercises an NFS server: puts a fixture into its export, makes the calls in sessions, and checks the effect in its
//! container.

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::calls::Listed;
use super::client::Client;
use super::failure::{Abort, Cause, Failure};
use super::session::Session;
use crate::check::{Site, TestFile};
use crate::cluster::Operation;
use crate::event::{Reason, Verdict};
use crate::random;

/// The size of the file that is written over NFS: it takes several WRITEs.
const SIZE: usize = 6_000;
/// The fixture in a nested folder, by which the mount is recognized.
const NESTED_FIXTURE: &str = "made.txt";

/// How far the last session got.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    pub answered: u32,
    pub writes: u32,
    pub listed: Option<Listed>,
    /// Whether the container sees the written file; the difference if not.
    pub export: Option<Result<(), String>>,
    /// The status with which a read-only server refused CREATE; `None` if it did not.
    pub refused: Option<String>,
}

pub struct Exercise<'a> {
    site: &'a Site,
    pod: &'a Pod,
    read_only: bool,
    pub mounted: String,
    /// Whether `mounted` is in a folder of this run, which is removed with everything in it.
    is_nested: bool,
    fixture: Option<Fixture>,
}

/// A file that the container wrote into the mounted folder.
struct Fixture {
    name: String,
    content: String,
    /// The file, or the folder of this run that contains it.
    exported: TestFile,
}

impl<'a> Exercise<'a> {
    /// Writes the fixture, if there is a nested `path` to mount or nothing to read because NFS cannot write.
    pub async fn prepare(site: &'a Site, pod: &'a Pod, path: Option<&str>, read_only: bool) -> Result<Self, Verdict> {
        let (root, container) = (&site.system.export.folder, &site.system.export.container);
        let is_nested = path.is_some();
        let mut exercise = Self { site, pod, read_only, mounted: root.clone(), is_nested, fixture: None };
        if !is_nested && !read_only {
            return Ok(exercise);
        }
        let own = site.file(if is_nested { "folder" } else { "read.txt" });
        let exported = site.register(pod, &own);
        let name = if is_nested { NESTED_FIXTURE.to_owned() } else { own.name.clone() };
        let content = format!("made for {}", own.name);
        let write = if let Some(path) = path {
            exercise.mounted = format!("{root}/{}/{path}", own.name);
            Operation::WriteNested { folder: exercise.mounted.clone(), name: name.clone(), content: content.clone() }
        } else {
            Operation::Write { path: site.path(&name), content: content.clone() }
        };
        let (_, problem) = site.in_export(pod, &write).await?;
        if let Some(problem) = problem {
            let object = format!("export {root} of container {container}");
            let reason = Reason::new(object, format!("{} written to it, to be read over NFS", own.name), problem);
            let by = format!("subfolder::{}", site.server());
            return Err(Verdict::blocked(by, reason.hint("check whether the export is full or read-only")));
        }
        exercise.fixture = Some(Fixture { name, content, exported });
        Ok(exercise)
    }

    /// Repeats the session until one succeeds or the client gives up.
    pub async fn run(&self, client: &mut Client<'_>, progress: &mut Progress) -> Result<(), Abort> {
        loop {
            *progress = Progress::default();
            let mut session = client.connect().await?;
            let result = self.run_once(&mut session, client.broken, progress).await;
            if client.finish(session, result, false).await?.is_some() {
                return Ok(());
            }
        }
    }

    async fn run_once(&self, session: &mut Session, number: u32, progress: &mut Progress) -> Result<(), Abort> {
        let root = session.mount(&self.mounted).await?;
        let [write_size, read_size] = session.transfer_sizes(&root).await?;
        if let Some(Fixture { name, content, .. }) = &self.fixture {
            let file = session.lookup(&root, name).await?;
            let expected = || format!("the file that the container wrote to {}", self.mounted);
            let missing = || Failure::invalid_reply(&format!("LOOKUP {name}"), expected(), "no such file");
            session.read(&file.ok_or_else(missing)?, content.as_bytes(), read_size).await?;
            if self.read_only {
                progress.listed = Some(session.list(&root, name).await?);
            }
        }
        let files = ["file", "renamed"].map(|what| self.site.file(&format!("{what}-{number}")));
        // In the ledger before they are written.
        let placed = files.iter().filter(|_| !self.is_nested).map(|file| self.site.register(self.pod, file));
        let placed: Vec<TestFile> = placed.collect();
        let removed = || placed.iter().for_each(|placed| self.site.shared.ledger.removed(placed));
        let [first, second] = files.map(|file| file.name);
        if self.read_only {
            match session.create(&root, &first).await {
                Ok(_) => session.remove(&root, &first).await?,
                Err(Failure { cause: Cause::Refused(status), .. }) => progress.refused = Some(status),
                Err(failure) => return Err(failure.into()),
            }
            removed();
            return Ok(());
        }
        let content = random::text(SIZE);
        let file = session.create(&root, &first).await?;
        progress.writes = session.write(&file, content.as_bytes(), write_size).await?;
        session.read(&file, content.as_bytes(), read_size).await?;
        progress.listed = Some(session.list(&root, &first).await?);
        let read = Operation::Read { path: format!("{}/{first}", self.mounted) };
        let read = session.paused(self.site.in_export(self.pod, &read)).await;
        session.paused(self.site.wait_for_pause(self.pod)).await;
        session.rename(&root, &first, &second).await?;
        // Even if the container could not read the file: then it cannot remove it either.
        session.remove(&root, &second).await?;
        removed();
        let (output, problem) = read?;
        progress.export = Some(match problem {
            Some(problem) => Err(problem),
            None if output.stdout == content.as_bytes() => Ok(()),
            None => Err(format!("{} bytes of different content", output.stdout.len())),
        });
        Ok(())
    }

    /// Removes the fixture. A file that cannot be removed stays in the ledger, and the end of the test reports it.
    pub async fn clean_up(&self) -> Result<(), Verdict> {
        let Some(Fixture { exported, .. }) = &self.fixture else { return Ok(()) };
        self.site.remove(self.pod, exported).await.map(drop)
    }
}
