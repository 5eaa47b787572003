//! What `docs/performance.md` says: our suites against one `kubectl` for each of their questions, and what more objects cost.
//!
//! `KUBECONFIG=… cargo bench [-- side-by-side | growth] [ROUNDS]` with the cluster of `fixtures/cluster` and its kubectl in the
//! PATH. What is compared is run in turns, so that a busy machine slows down both. Prints Markdown, and asserts no figure.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a benchmark ends at what it cannot do")]

mod growth;
mod kubectl;
mod measure;
mod side_by_side;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(3);
    let is_wanted = |part: &str| words.iter().all(|word| word == part || word.parse::<usize>().is_ok());
    if is_wanted("side-by-side") {
        side_by_side::compare(rounds);
    }
    if is_wanted("growth") {
        growth::grow(rounds);
    }
}
