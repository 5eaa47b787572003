//! The Helm release: its revisions, the objects of its manifest, and the live objects.

mod live;
pub mod manifest;
mod release;

pub use live::Live;
pub use release::{Contents, Deployed, Revision};
