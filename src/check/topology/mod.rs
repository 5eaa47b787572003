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

/// The hint for a server with no current pod, or several.
const NOT_ONE: &str = "scale the Deployment to 1; if a rollout is stuck, check its newest pod; delete pods that the \
                       Deployment did not create";
