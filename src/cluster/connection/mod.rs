//! From a kubeconfig to a connected cluster: the kubeconfig, the proxy, the login, and what sits in front of the API server.

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
