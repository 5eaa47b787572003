//! The documentation, and suites as people write them.

mod docs;
mod suites;
