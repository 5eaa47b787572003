//! The chart, the documentation, and suites as people write them.

mod chart;
mod docs;
mod suites;
