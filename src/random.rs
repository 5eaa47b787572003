//! Random text: names and content that nobody else makes. Imports nothing of ours.

use rand::RngExt;
use rand::distr::Alphanumeric;

/// So many letters and digits.
pub fn text(length: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect()
}
