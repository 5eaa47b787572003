//! The kinds of checks: one file each, in a folder by what they look at. A check observes, then judges.
//!
//! `observe` is async and collects everything it needs into a plain, serializable value; `judge` is a pure function
//! of that value. May import `cluster`, `host`, `values`, `event`; never `run` or `report`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Deref;

use crate::event::millis;

mod commands;
mod disrupt;
mod drift;
mod exits;
mod findings;
mod kind;
mod ledger;
mod need;
mod nfs;
pub mod parameter;
mod pod;
mod safety;
mod shared;
mod site;
mod skip;
mod storage;
mod sync;
pub mod system;
mod topology;
mod work;

pub use drift::revision;
pub use kind::{About, AnyKind, Kind, Subject};
pub use ledger::{Place, Placed};
pub use need::{ALWAYS, Access, Need, OPTIONAL};
pub use shared::{Disrupted, Shared, Wishes};
pub use site::Site;
pub use sync::search::period;
pub use system::{Export, Part, Sidecar, System};

/// Declares the kinds of checks: the key that names each in a suite, and its parameters.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $key:literal => $kind:ident($parameters:ty),)+) => {
        /// Every kind of check; the key names it in a suite.
        #[derive(Debug, Clone, Deserialize)]
        pub enum Check {
            $($(#[doc = $doc])+ #[serde(rename = $key)] $kind($parameters),)+
        }

        impl Check {
            /// All kinds.
            pub const ALL: &[About] = &[$(About::of::<$parameters>($key, concat!($($doc),+)),)+];

            /// What is known of its kind, and its parameters.
            fn parts(&self) -> (&'static About, &(dyn AnyKind + 'static)) {
                match self { $(Self::$kind(kind) => (&const { About::of::<$parameters>($key, concat!($($doc),+)) }, kind),)+ }
            }
        }
    };
}

impl Check {
    pub fn about(&self) -> &'static About {
        self.parts().0
    }

    /// The key that names it in a suite.
    pub fn kind(&self) -> &'static str {
        self.about().key
    }

    /// Whether a run must have this at hand for it.
    pub fn needs(&self, need: Need) -> bool {
        self.parts().1.needs().contains(&need)
    }
}

/// What else a run asks of a check, its kind answers.
impl Deref for Check {
    type Target = dyn AnyKind;

    fn deref(&self) -> &Self::Target {
        self.parts().1
    }
}

/// In a suite it is a key with its parameters below. One object with all keys, because editors complete those better
/// than a choice of objects.
impl JsonSchema for Check {
    fn schema_name() -> Cow<'static, str> {
        "Check".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut kind = |about: &About| {
            let mut schema = (about.parameters)(generator);
            schema.insert("description".to_owned(), about.summary.into());
            (about.key.to_owned(), schema.to_value())
        };
        let kinds: serde_json::Map<_, _> = Self::ALL.iter().map(&mut kind).collect();
        json_schema!({"description": "One kind of check, and its parameters.", "type": "object", "properties": kinds,
            "minProperties": 1, "maxProperties": 1, "additionalProperties": false})
    }
}

kinds! {
    /// The API server's version and the nodes.
    "cluster" => Cluster(topology::cluster_ready::Cluster),
    /// The Helm release is deployed.
    "release" => Release(topology::release::Release),
    /// One pod for each server and no other.
    "pod-count" => PodCount(topology::pod_count::PodCount),
    /// A server's pod is Ready, of the newest ReplicaSet, and not restarting.
    "pods" => Pods(topology::pods::Pods),
    /// A server's Service is as in the values, and its one endpoint is the server's pod.
    "service" => Service(topology::service::Service),
    /// A Service's name resolves inside a pod.
    "dns" => Dns(topology::dns::Dns),
    /// A NodePort takes connections.
    "node-port" => NodePort(topology::node_port::NodePort),
    /// Nothing that must differ between servers is alike.
    "unique" => Unique(topology::unique::Unique),

    /// An init container has completed, and its log ends without an error.
    "init-container" => InitContainer(pod::init_container::InitContainer),
    /// A native sidecar is declared as one and runs.
    "native-sidecar" => NativeSidecar(pod::native_sidecar::NativeSidecar),
    /// No running container mounts the host folder.
    "no-sidecar" => NoSidecar(pod::no_sidecar::NoSidecar),
    /// A sidecar's mounts, resources and start-up lines are as in the values.
    "sidecar-set-up" => SidecarSetUp(pod::sidecar_set_up::SidecarSetUp),
    /// `--delete` stands in the init container's command, or does not.
    "rsync-delete" => RsyncDelete(pod::rsync_delete::RsyncDelete),
    /// Requests and limits are as in the values.
    "resources" => Resources(pod::resources::Resources),
    /// What the containers use now is within bounds.
    "usage" => Usage(pod::usage::Usage),
    /// No container has more rights than it needs.
    "security" => Security(pod::security::Security),
    /// A volume is an emptyDir with a size limit.
    "size-limit" => SizeLimit(pod::size_limit::SizeLimit),

    /// The host folder exists.
    "host-folder" => HostFolder(storage::host_folder::HostFolder),
    /// The host folder and the pod's hostPath are one folder.
    "host-mount" => HostMount(storage::host_mount::HostMount),
    /// What is written into one export is in no other.
    "isolation" => Isolation(storage::isolation::Isolation),
    /// A folder can be made and used in the export at run time.
    "subfolder" => Subfolder(storage::subfolder::Subfolder),
    /// The running server's export options are as in the values.
    "export-options" => ExportOptions(storage::export_options::ExportOptions),
    /// The server's fsid is as in the values, and no other server's.
    "fsid" => Fsid(storage::fsid::Fsid),

    /// A file written in a container appears in the host folder.
    "file-sync" => FileSync(sync::file_sync::FileSync),
    /// Several cycles of new and replaced files end whole in the host folder.
    "multi-write" => MultiWrite(sync::multi_write::MultiWrite),
    /// The sidecar's cycles come at the configured interval, and copy nothing twice.
    "log-cadence" => Cadence(sync::cadence::Cadence),

    /// A pod is deleted, and its replacement has the files that it should have.
    "restart" => Restart(disrupt::Restart),

    /// Files that only the tester has put into the folder are left alone.
    "extraneous-files" => ExtraneousFiles(safety::extraneous_files::ExtraneousFiles),
    /// A newer version in the export replaces the one in the host folder.
    "file-update" => FileUpdate(safety::file_update::FileUpdate),
    /// A file that is written across several cycles ends whole, and never shrinks on the way.
    "large-file" => LargeFile(safety::large_file::LargeFile),
    /// Many small files in nested folders arrive complete, with their times.
    "file-tree" => FileTree(safety::file_tree::FileTree),
    /// Files with unusual names arrive under just these names.
    "file-names" => FileNames(safety::file_names::FileNames),
    /// MOUNT and NFSv3 calls work, or are refused as read-only.
    "nfs" => Nfs(nfs::Nfs),
    /// The live objects are what the release's manifest says, and nobody added to them.
    "drift" => Drift(drift::Drift),

    /// Nothing: says what is not tested, and why.
    "skip" => Skip(skip::Skip),
}
