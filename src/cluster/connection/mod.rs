//! From a kubeconfig to a cluster that answered: what kubectl reads, which proxy it takes, how it logs in, and what answers.

mod connect;
mod home;
mod kubeconfig;
mod login;
mod middlebox;
mod plugin;
mod proxy;
mod token;

pub use connect::{connect, connect_with};
pub use kubeconfig::read_kubeconfig;
