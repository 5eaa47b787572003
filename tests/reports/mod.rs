//! What is said of a run, by each reporter.

mod junit;
mod page;
mod reporters;
mod stream;
