//! The Helm release: its revisions, the objects of its manifest, and those objects as they are live.

mod live;
pub mod manifest;
mod release;

pub use live::Live;
pub use release::{Contents, Deployed, Revision};
