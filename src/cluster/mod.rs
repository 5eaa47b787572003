//! The Kubernetes API: the only place that knows `kube`. Imports `error`, `input`, `yaml` and `random`, nothing else of ours.
//!
//! Objects come from one LIST and one watch per kind ([`Population`]); everything that asks the API has a deadline.

mod api_error;
mod autoscaler;
pub mod batch;
mod changes;
mod client;
mod concurrency;
pub mod connect;
pub mod container;
mod cycle;
mod deadline;
mod events;
#[cfg(test)]
pub(crate) mod example;
mod exec;
mod follow;
mod home;
mod kubeconfig;
mod live;
mod log;
mod login;
pub mod manifest;
mod middlebox;
mod object;
mod operation;
mod permission;
mod plugin;
mod population;
mod port_forward;
mod proxy;
mod release;
pub mod script;
mod select;
pub mod server;
mod store;
mod token;
mod transport;
mod watch;

pub use api_error::ApiError;
pub use changes::Changes;
pub use client::{Cluster, Target};
pub use concurrency::SLOW;
pub use connect::{connect, reach};
pub use cycle::{CycleLog, Marks};
pub use deadline::{ANSWER, COMMAND};
pub use events::Warning;
pub use exec::{End, Output};
pub use follow::{Cycles, QUIET};
pub use kube::ResourceExt;
pub use kubeconfig::read;
pub use live::Live;
pub use log::{LogLine, is_last_word};
pub use operation::{Operation, Work};
pub use permission::Permission;
pub use population::{Network, Population};
pub use port_forward::Forwarded;
pub use release::{Contents, Deployed, Release};
pub use select::{Select, Wanted};
pub use server::{Announced, Obstacle, Server};
pub use watch::Watch;
