//! The kinds of checks, one file each, in folders by subject. A check observes, then judges.
//!
//! `observe` is async and collects everything it needs into a plain, serializable value; `judge` is a pure function
//! of that value. Never imports `run` or `report`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Deref;

use crate::event::millis;

mod commands;
mod disrupt;
mod drift;

mod findings;
mod kind;
mod ledger;
mod need;
mod nfs;
pub mod parameter;
mod pod;
mod safety;
mod server_exits;
mod shared;
mod site;
mod skip;
mod storage;
mod sync;
pub mod system;
mod topology;
mod work;

pub use drift::revision;
pub use kind::{AnyKind, Kind, KindInfo, Subject};
pub use ledger::{Location, TestFile};
pub use need::{ALWAYS, Access, Need, OPTIONAL};
pub use shared::{Disrupted, Settings, Shared};
pub use site::Site;
pub use sync::search::period;
pub use system::{Export, Part, Sidecar, System};

/// Declares the kinds of checks: their summaries, keys in suites, and parameters.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $key:literal => $kind:ident($parameters:ty),)+) => {
        /// A check of any kind, as a suite declares it by its key.
        #[derive(Debug, Clone, Deserialize)]
        pub enum Check {
            $($(#[doc = $doc])+ #[serde(rename = $key)] $kind($parameters),)+
        }

        impl Check {
            pub const ALL: &[KindInfo] = &[$(KindInfo::of::<$parameters>($key, concat!($($doc),+)),)+];

            fn parts(&self) -> (&'static KindInfo, &(dyn AnyKind + 'static)) {
                match self { $(Self::$kind(kind) => (&const { KindInfo::of::<$parameters>($key, concat!($($doc),+)) }, kind),)+ }
            }
        }
    };
}

impl Check {
    pub fn info(&self) -> &'static KindInfo {
        self.parts().0
    }

    pub fn kind(&self) -> &'static str {
        self.info().key
    }

    pub fn needs(&self, need: Need) -> bool {
        self.parts().1.needs().contains(&need)
    }
}

/// Gives access to the methods that depend on the kind.
impl Deref for Check {
    type Target = dyn AnyKind;

    fn deref(&self) -> &Self::Target {
        self.parts().1
    }
}

/// In a suite, a check is one key with its parameters below it. The schema is one object with all keys, because editors complete that
/// better than a choice of objects.
impl JsonSchema for Check {
    fn schema_name() -> Cow<'static, str> {
        "Check".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut kind = |info: &KindInfo| {
            let mut schema = (info.parameters)(generator);
            schema.insert("description".to_owned(), info.summary.into());
            (info.key.to_owned(), schema.to_value())
        };
        let kinds: serde_json::Map<_, _> = Self::ALL.iter().map(&mut kind).collect();
        json_schema!({"description": "One kind of check and its parameters.", "type": "object", "properties": kinds,
            "minProperties": 1, "maxProperties": 1, "additionalProperties": false})
    }
}

kinds! {
    /// The API server is new enough, and the servers' nodes are Ready.
    "cluster" => Cluster(topology::cluster_ready::Cluster),
    /// Helm reports the release as deployed.
    "release" => Release(topology::release::Release),
    /// Each server has exactly one pod, and no other pod has the servers' labels.
    "pod-count" => PodCount(topology::pod_count::PodCount),
    /// A server's pod is Ready, belongs to the newest ReplicaSet, and did not restart recently.
    "pods" => Pods(topology::pods::Pods),
    /// A server's Service matches the values, and its only endpoint is the server's pod.
    "service" => Service(topology::service::Service),
    /// The name of a server's Service resolves inside a pod.
    "dns" => Dns(topology::dns::Dns),
    /// A server's NodePort accepts connections.
    "node-port" => NodePort(topology::node_port::NodePort),
    /// Servers share no ClusterIP, NodePort or hostPath.
    "unique" => Unique(topology::unique::Unique),

    /// The init container completed, and its log ends without an error.
    "init-container" => InitContainer(pod::init_container::InitContainer),
    /// The sidecar is declared as a native sidecar, and runs.
    "native-sidecar" => NativeSidecar(pod::native_sidecar::NativeSidecar),
    /// No container except the init container mounts the host folder.
    "no-sidecar" => NoSidecar(pod::no_sidecar::NoSidecar),
    /// The sidecar's mounts are right, and its resources and start-up log lines match the values.
    "sidecar-set-up" => SidecarSetUp(pod::sidecar_set_up::SidecarSetUp),
    /// The init container runs rsync with `--delete`, or without it.
    "rsync-delete" => RsyncDelete(pod::rsync_delete::RsyncDelete),
    /// Requests and limits match the values.
    "resources" => Resources(pod::resources::Resources),
    /// An idle sidecar uses little CPU, and all servers fit in the node's memory.
    "usage" => Usage(pod::usage::Usage),
    /// No container has more privileges than it needs.
    "security" => Security(pod::security::Security),
    /// The export's volume is an emptyDir with a size limit.
    "size-limit" => SizeLimit(pod::size_limit::SizeLimit),

    /// A server's host folder exists.
    "host-folder" => HostFolder(storage::host_folder::HostFolder),
    /// The host folder and the pod's hostPath are the same folder.
    "host-mount" => HostMount(storage::host_mount::HostMount),
    /// A file written to a server's export appears in no other export.
    "isolation" => Isolation(storage::isolation::Isolation),
    /// Folders in the export can be created and used at run time.
    "subfolder" => Subfolder(storage::subfolder::Subfolder),
    /// The running server's export options match the values.
    "export-options" => ExportOptions(storage::export_options::ExportOptions),
    /// A server's fsid matches the values, and no other server has it.
    "fsid" => Fsid(storage::fsid::Fsid),

    /// A file written to the export arrives in the host folder.
    "file-sync" => FileSync(sync::file_sync::FileSync),
    /// New and replaced files arrive complete in the host folder over several sync cycles.
    "multi-write" => MultiWrite(sync::multi_write::MultiWrite),
    /// Sync cycles run at the configured interval, and copy an unchanged file only once.
    "log-cadence" => LogCadence(sync::log_cadence::LogCadence),

    /// After its pod is deleted, a server has the right files again.
    "restart" => Restart(disrupt::Restart),

    /// Files that exist only in the host folder stay unchanged.
    "extraneous-files" => ExtraneousFiles(safety::extraneous_files::ExtraneousFiles),
    /// A newer version in the export replaces the one in the host folder.
    "file-update" => FileUpdate(safety::file_update::FileUpdate),
    /// A file written over several sync cycles arrives complete, and never shrinks in the host folder.
    "large-file" => LargeFile(safety::large_file::LargeFile),
    /// Many small files in nested folders arrive complete, with their mtimes.
    "file-tree" => FileTree(safety::file_tree::FileTree),
    /// Files with unusual names arrive under exactly those names.
    "file-names" => FileNames(safety::file_names::FileNames),
    /// MOUNT and NFSv3 calls succeed, and a read-only export refuses writes.
    "nfs" => Nfs(nfs::Nfs),
    /// The live objects match the release's manifest, without manual additions.
    "drift" => Drift(drift::Drift),

    /// Always skipped: documents what a suite does not test, and why.
    "skip" => Skip(skip::Skip),
}
