//! The system under test: its servers, their containers, and where values hold their properties. Suites refer to it,
//! and all checks read it.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::parameter::{DurationParam, ExpectedFact, Pattern, with_group};
use crate::cluster::{LogPatterns, Select, is_copy_error};
use crate::event::{Reason, Verdict};

/// A system under test.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct System {
    /// The labels of the pods under test.
    pub pods: Select,
    /// The servers that must exist, by role. They are listed here and not read from the release's values, so that a
    /// release without one of them fails.
    #[schemars(with = "IndexMap<String, Vec<String>>")]
    pub servers: Spanned<IndexMap<String, Vec<Spanned<String>>>>,
    /// How long a restarted container must run until its restart no longer counts.
    pub restart_window: DurationParam,
    /// The NFS export of each server.
    pub export: Export,
    /// Name of the hostPath volume with the host folder, if servers have one.
    #[serde(default)]
    pub folder_volume: String,
    /// Name of the init container that copies the host folder to the export, if servers have one.
    #[serde(default)]
    pub init_container: String,
    /// Log line that reports failed copying; by default rsync's final error line.
    pub error: Option<Pattern>,
    /// The sidecar that copies the export to the host folder in cycles, if servers have one.
    pub sidecar: Option<Sidecar>,
    /// Where to find the expected properties of a server; without a fact, any value passes.
    #[serde(default)]
    pub facts: Facts,
}

/// The NFS export of a server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Export {
    /// Name of the NFS server's container, in which tests run commands and write files.
    pub container: String,
    /// Path of the exported folder in that container.
    pub folder: String,
    /// Name of the volume that holds the folder.
    pub volume: String,
    /// The container's NFS port.
    pub port: u16,
    /// Path of the server's exports file, in the format of exports(5).
    #[serde(default = "default_file")]
    pub file: String,
    /// Name of an environment variable that may hold the fsid.
    pub fsid_variable: Option<String>,
}

/// A container that copies the export to the host folder in cycles, and patterns of its log lines.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sidecar {
    /// Name of the container.
    pub container: String,
    /// Line that begins a cycle; by default rsync's.
    pub cycle_begin: Option<Pattern>,
    /// Line that ends a cycle.
    pub cycle_end: Pattern,
    /// Start-up line with the sync interval, in seconds, as the first group.
    #[serde(deserialize_with = "with_group")]
    #[schemars(extend("pattern" = r"\("))]
    pub interval: Pattern,
    /// Start-up line with the direction.
    pub direction: Option<Pattern>,
    /// Lines that excuse the errors of their cycle, for example because a client changed a file while it was copied.
    pub excuse: Option<Pattern>,
}

/// Where to find the expected properties of a server.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Facts {
    /// Export options, separated by commas; the default without `rw` and `ro`, of which suites require one.
    pub export_options: Option<ExpectedFact>,
    /// The file system ID of the export.
    pub fsid: Option<ExpectedFact>,
    /// Type of the Service.
    pub service_type: Option<ExpectedFact>,
    /// Port of the Service.
    pub service_port: Option<ExpectedFact>,
    /// NodePort of the Service's port.
    pub node_port: Option<ExpectedFact>,
    /// Requests and limits of the NFS server's container.
    pub resources: Option<ExpectedFact>,
    /// Requests and limits of the sidecar.
    pub sidecar_resources: Option<ExpectedFact>,
    /// Pause between two sync cycles, in seconds.
    pub sync_interval: Option<ExpectedFact>,
}

fn default_file() -> String {
    "/etc/exports".to_owned()
}

/// An optional part of a system that some kinds of checks require.
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

    pub fn is_error_line(&self, line: &str) -> bool {
        is_copy_error(self.error.as_ref().map(|error| &error.0), line)
    }

    /// The names of the servers, in the order of the system.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.servers.value.values().flatten().map(|server| &server.value)
    }

    /// The sidecar; suites without one cannot use checks that need it.
    pub fn sidecar(&self) -> Result<&Sidecar, Verdict> {
        let missing = || Verdict::error(Reason::new("the system", "a sidecar", "none"));
        self.sidecar.as_ref().ok_or_else(missing)
    }

    /// The patterns of the sidecar's log lines; `None` without a sidecar.
    pub fn log_patterns(&self) -> Option<LogPatterns> {
        let Sidecar { cycle_begin, cycle_end, interval, excuse, .. } = self.sidecar.as_ref()?;
        let [begin, error, excuse] =
            [cycle_begin, &self.error, excuse].map(|pattern| pattern.as_ref().map(|pattern| pattern.0.clone()));
        Some(LogPatterns { begin, end: cycle_end.0.clone(), interval: interval.0.clone(), error, excuse })
    }

    /// The name of the sidecar; without one empty, which matches no container.
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

    #[test]
    fn a_file_that_a_test_removed_excuses_rsync_and_a_missing_folder_of_the_server_does_not() {
        let excuse = system().log_patterns().unwrap().excuse.unwrap();
        for (line, is_excused) in [
            (r#"[sender] change_dir "/nfs-data/e2e-0nufk0xx-phase2-subfolder-nas-output-3-folder""#, true),
            (r#"[sender] link_stat "/nfs-data/e2e-0nufk0xx-x/y""#, true),
            (r#"[sender] change_dir "/nfs-data""#, false),
            (r#"[Receiver] mkdir "/windows-mount/e2e-0nufk0xx-x""#, false),
        ] {
            let line = format!("rsync: {line} failed: No such file or directory (2)");
            assert_eq!(excuse.is_match(&line), is_excused, "{line}");
        }
    }
}
