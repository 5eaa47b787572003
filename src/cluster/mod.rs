//! The Kubernetes API: the only module that uses `kube`. Imports `error`, `input`, `yaml` and `random`, nothing else of ours.
//!
//! `connection` creates the [`Cluster`] that all other modules query; `namespace` watches its objects, `server` and `script`
//! interpret them. Every request has a deadline.

mod api_error;
mod client;
mod command;
mod concurrency;
mod connection;
pub mod container;
mod deadline;
mod events;
#[cfg(test)]
pub(crate) mod example;
mod helm;
mod logs;
mod namespace;
mod object;
mod permission;
mod port_forward;
pub mod script;
mod select;
pub mod server;
mod transport;

pub use api_error::ApiError;
pub use client::{Cluster, Target};
pub use command::{End, Operation, Output, batch, gathered};
pub use concurrency::{SLOW, Work};
pub use connection::{connect, connect_with, read_kubeconfig};
pub use deadline::{COMMAND, REPLY_TIMEOUT};
pub use events::Warning;
pub use helm::{Contents, Deployed, Live, Revision, manifest};
pub use kube::ResourceExt;
pub use logs::{Cycle, FollowedLog, LogLine, LogPatterns, LogState, PAUSE_TIMEOUT, SyncLog, is_copy_error};
pub use namespace::{Changes, Network, Snapshot, Watch};
pub use permission::Permission;
pub use port_forward::PortForward;
pub use select::{Select, Wanted};
pub use server::{Announced, Obstacle, Server};
