//! The system under test, described once: which servers there are, what their pods have, and where the values say more. Suites
//! name it; every kind of check reads it. Imports `parameter`, and `cluster` for how pods are told apart.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::parameter::{Fact, Pattern, Span, with_group};
use crate::cluster::{Select, Words, tells_error};
use crate::event::{Reason, Verdict};

/// A system under test.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct System {
    /// How the pods under test are found.
    pub pods: Select,
    /// The servers that must exist, by role. The requirement stands here and not in the release's values,
    /// so that a release that lost a server fails.
    #[schemars(with = "IndexMap<String, Vec<String>>")]
    pub servers: Spanned<IndexMap<String, Vec<Spanned<String>>>>,
    /// A container that was restarted runs steadily again when it has been running for so long.
    pub restart_window: Span,
    /// The NFS export of each server.
    pub export: Export,
    /// The volume with the host folder, a hostPath; where there is one.
    #[serde(default)]
    pub folder_volume: String,
    /// The container that fills the export from the host folder when a pod starts, where there is one.
    #[serde(default)]
    pub init_container: String,
    /// The line of a log that says last that copying failed; if it is not given, as rsync says it.
    pub error: Option<Pattern>,
    /// What copies the export to the host folder, in cycles; where a server has that.
    pub sidecar: Option<Sidecar>,
    /// What the values say of a server; what nobody says may be anything.
    #[serde(default)]
    pub facts: Facts,
}

/// An export.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Export {
    /// The NFS server's container: files are written and commands run in it.
    pub container: String,
    /// The export's folder in it.
    pub folder: String,
    /// The volume that the folder is in.
    pub volume: String,
    /// The container's port.
    pub port: u16,
    /// The file that the server reads its exports from, in the format of exports(5).
    #[serde(default = "exports")]
    pub file: String,
    /// The environment variable that may have the fsid.
    pub fsid_variable: Option<String>,
}

/// A container that copies the export to the host folder, in cycles, and the words of its log.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sidecar {
    /// Its name.
    pub container: String,
    /// The line that begins a cycle; if it is not given, as rsync says it.
    pub cycle_begin: Option<Pattern>,
    /// The line that ends a cycle.
    pub cycle_end: Pattern,
    /// The line that it says its interval with when it starts, in seconds in the first group.
    #[serde(deserialize_with = "with_group")]
    #[schemars(extend("pattern" = r"\("))]
    pub interval: Pattern,
    /// The line that it says its direction with when it starts.
    pub direction: Option<Pattern>,
    /// Lines that excuse the errors of their cycle: a client wrote to a file while it was copied.
    pub excuse: Option<Pattern>,
}

/// Where the values have what a server should be like.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Facts {
    /// The export's options, separated by commas; the default without `rw` and `ro`, which a suite requires.
    pub export_options: Option<Fact>,
    /// The file system id.
    pub fsid: Option<Fact>,
    /// The Service's type.
    pub service_type: Option<Fact>,
    /// The Service's port.
    pub service_port: Option<Fact>,
    /// The port's NodePort.
    pub node_port: Option<Fact>,
    /// Requests and limits of the NFS server's container.
    pub resources: Option<Fact>,
    /// Requests and limits of the sidecar.
    pub sidecar_resources: Option<Fact>,
    /// The pause between two cycles of the sidecar, in seconds.
    pub sync_interval: Option<Fact>,
}

/// Where servers have their exports.
fn exports() -> String {
    "/etc/exports".to_owned()
}

/// A part that not every system has, and without which some kinds of checks would judge nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Folder,
    Init,
    Sidecar,
    ExportOptions,
    SyncInterval,
    Resources,
}

impl Part {
    /// The key that describes it.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Folder => "folder-volume",
            Self::Init => "init-container",
            Self::Sidecar => "sidecar",
            Self::ExportOptions => "facts.export-options",
            Self::SyncInterval => "facts.sync-interval",
            Self::Resources => "facts.resources",
        }
    }
}

impl System {
    pub fn has(&self, part: Part) -> bool {
        match part {
            Part::Folder => !self.folder_volume.is_empty(),
            Part::Init => !self.init_container.is_empty(),
            Part::Sidecar => self.sidecar.is_some(),
            Part::ExportOptions => self.facts.export_options.is_some(),
            Part::SyncInterval => self.facts.sync_interval.is_some(),
            Part::Resources => self.facts.resources.is_some() || self.facts.sidecar_resources.is_some(),
        }
    }

    /// Whether a line of a log tells of an error in copying.
    pub fn tells_error(&self, line: &str) -> bool {
        tells_error(self.error.as_ref().map(|error| &error.0), line)
    }

    /// The names of the servers, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.servers.value.values().flatten().map(|server| &server.value)
    }

    /// The sidecar; no suite has a kind of check that needs it where there is none.
    pub fn sidecar(&self) -> Result<&Sidecar, Verdict> {
        let missing = || Verdict::error(Reason::new("the system", "a sidecar, which is described", "none"));
        self.sidecar.as_ref().ok_or_else(missing)
    }

    /// What the sidecar's log says; `None` if there is none.
    pub fn words(&self) -> Option<Words> {
        let Sidecar { cycle_begin, cycle_end, interval, excuse, .. } = self.sidecar.as_ref()?;
        let [begin, error, excuse] =
            [cycle_begin, &self.error, excuse].map(|pattern| pattern.as_ref().map(|pattern| pattern.0.clone()));
        Some(Words { begin, end: cycle_end.0.clone(), interval: interval.0.clone(), error, excuse })
    }

    /// The name of the sidecar; empty if there is none, as no container is called.
    pub fn sidecar_name(&self) -> &str {
        self.sidecar.as_ref().map_or("", |sidecar| &sidecar.container)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The file simulator.
    pub fn system() -> System {
        serde_saphyr::from_str(include_str!("../../suites/systems/file-simulator.yaml")).unwrap()
    }
}
