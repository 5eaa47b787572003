//! What Kubernetes has of the release: pods, Services, names and ports.

pub mod cluster_ready;
pub mod dns;
mod inside;
pub mod knock;
pub mod node_port;
pub mod pod_count;
pub mod pods;
pub mod release;
pub mod service;
pub mod unique;
