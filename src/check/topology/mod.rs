//! The release in Kubernetes: pods, Services, DNS names and ports.

pub mod cluster_ready;
pub mod dns;
mod exec;
pub mod node;
pub mod node_port;
pub mod pod_count;
pub mod pods;
pub mod release;
pub mod service;
pub mod unique;
