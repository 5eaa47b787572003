//! Random text for unique names and content. Imports no other module.

use rand::RngExt;
use rand::distr::Alphanumeric;

/// Random letters and digits.
pub fn text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}
