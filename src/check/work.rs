//! What a test does in containers, in the export, and with its files, which the ledger registers before they are written.

use std::pin::pin;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::ledger::{Location, TestFile};
use super::site::Site;
use crate::cluster::container;
use crate::cluster::{COMMAND, FollowedLog, Operation, Output, PAUSE_TIMEOUT, ResourceExt, SLOW};
use crate::event::{Hop, Reason, TestId, Verdict};
use crate::host::Entry;

impl Site {
    /// The prefix of the names of this test's files, on all servers.
    pub fn prefix(&self) -> String {
        format!("{}-{}-{}-", self.shared.run, self.id.suite, self.id.slug)
    }

    /// A file of this test in the host folder, which the ledger does not register yet.
    pub fn file(&self, what: &str) -> TestFile {
        self.file_of(self.server(), what)
    }

    pub fn file_of(&self, server: &str, what: &str) -> TestFile {
        TestFile {
            test: TestId { server: Some(server.to_owned()), ..self.id.clone() },
            server: server.to_owned(),
            select: self.system.pods.clone(),
            location: Location::Host,
            name: format!("{}{server}-{what}", self.prefix()),
        }
    }

    /// Awaits commands in a pod, and reports a long wait.
    pub async fn await_command<T>(&self, pod: &str, commands: impl Future<Output = T>) -> T {
        let mut commands = pin!(commands);
        let mut report_after = SLOW;
        loop {
            if let Ok(done) = tokio::time::timeout(report_after, &mut commands).await {
                return done;
            }
            self.waiting(format!("a command in pod {pod} on a slow node"), COMMAND);
            report_after = COMMAND;
        }
    }

    /// Runs operations in a container of any server's pod, one after the other.
    pub async fn exec_all(
        &self,
        pod: &Pod,
        container: &str,
        operations: Vec<Operation>,
    ) -> Result<Vec<Output>, Verdict> {
        let (name, object) = (pod.name_any(), container::label(pod, container));
        let outputs = self.shared.exec_all(self.server_of(pod), &name, container, operations);
        let outputs = self.await_command(&name, outputs).await.map_err(|error| {
            Verdict::error(Reason::new(&object, "to run a command in it", error.to_string()).hint(error.hint()))
        })?;
        let Some(lost) = outputs.iter().find(|output| !output.exited_normally()) else { return Ok(outputs) };
        let reason = Reason::new(object, "to run a command to its end", lost.problem().unwrap_or_default());
        Err(Verdict::error(reason.hint("check whether the container restarts, and run the test again")))
    }

    /// Runs one operation; its output, and its problem, if it has one.
    pub async fn try_exec(
        &self,
        pod: &Pod,
        container: &str,
        operation: &Operation,
    ) -> Result<(Output, Option<String>), Verdict> {
        let outputs = self.exec_all(pod, container, vec![operation.clone()]).await?;
        let lost = || Verdict::error(Reason::new(container::label(pod, container), "the output of a command", "none"));
        let output = outputs.into_iter().next().ok_or_else(lost)?;
        let problem = output.problem();
        Ok((output, problem))
    }

    /// Runs one operation in the export's container, like [`try_exec`](Self::try_exec).
    pub async fn in_export(&self, pod: &Pod, operation: &Operation) -> Result<(Output, Option<String>), Verdict> {
        self.try_exec(pod, &self.system.export.container, operation).await
    }

    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.system.export.folder)
    }

    /// Waits until the sidecar is between two sync cycles, for at most `PAUSE_TIMEOUT`; the caller continues in any case.
    pub async fn wait_for_pause(&self, pod: &Pod) {
        if let Some(log) = self.followed_log(pod) {
            log.wait_for_pause(Instant::now() + PAUSE_TIMEOUT).await;
        }
    }

    /// Removes a file of this test from the export, between two sync cycles; the problem, if it has one.
    pub async fn remove(&self, pod: &Pod, exported: &TestFile) -> Result<Option<String>, Verdict> {
        self.wait_for_pause(pod).await;
        let (_, problem) = self.in_export(pod, &Operation::Remove { path: self.path(&exported.name) }).await?;
        if problem.is_none() {
            self.shared.ledger.removed(exported);
        }
        Ok(problem)
    }

    /// ERROR unless the container is running.
    pub fn require_running(&self, pod: &Pod, container: &str) -> Result<(), Verdict> {
        let view = container::named(pod, container);
        if view.is_some_and(|view| view.running_since().is_some()) {
            return Ok(());
        }
        let seen = view.map_or("no such container".to_owned(), |view| view.describe());
        Err(self.blocked(Reason::new(container::label(pod, container), "running", seen)))
    }

    /// The log of any server's sidecar, which is followed; `None` if the pod has no sidecar.
    pub fn followed_log(&self, pod: &Pod) -> Option<Arc<FollowedLog>> {
        container::named(pod, self.system.sidecar_name())?;
        self.shared.followed_log(self.server_of(pod), &pod.name_any(), &self.system)
    }

    fn server_of<'a>(&'a self, pod: &'a Pod) -> &'a str {
        pod.labels().get(&self.system.pods.server_label).map_or(self.server(), String::as_str)
    }

    /// A file of the host folder in the export.
    pub fn exported(&self, file: &TestFile) -> TestFile {
        let export = &self.system.export;
        let location = Location::Export { container: export.container.clone(), folder: export.folder.clone() };
        TestFile { location, ..file.clone() }
    }

    /// Registers a file of this test before it is written to the export, and in the host folder, where it may be copied to.
    pub fn register(&self, pod: &Pod, file: &TestFile) -> TestFile {
        // Also follows the log, so that clean-up knows when the file may be removed.
        let is_copied = self.followed_log(pod).is_some();
        let exported = self.exported(file);
        self.shared.ledger.register(exported.clone());
        if is_copied {
            self.shared.ledger.register(file.clone());
        }
        exported
    }

    /// ERROR if the host folder has vanished, so that nothing could arrive in it.
    pub async fn require_host_folder(&self) -> Result<(), Verdict> {
        let entry = self.shared.host.entry(self.server()).await;
        if entry == Entry::Folder {
            return Ok(());
        }
        let folder = self.shared.host.folder(self.server()).display().to_string();
        let hint = "recreate the folder, delete the server's pod, which still mounts the deleted folder, and run the test again";
        Err(Verdict::error(
            Reason::new(format!("folder {folder}"), "to exist throughout the test", entry.to_string()).hint(hint),
        )
        .at(Hop::Host))
    }
}
