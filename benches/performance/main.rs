//! The figures of `docs/performance.md`: our suites compared with one `kubectl` for each query, and the cost of more objects.
//!
//! `KUBECONFIG=… cargo bench [-- side-by-side | growth] [ROUNDS]`, with the cluster of `fixtures/cluster` and its kubectl in
//! the PATH. Alternates what it compares, so that a busy machine slows both. Prints Markdown and asserts no figures.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a benchmark ends at the first error")]

mod growth;
mod kubectl;
mod measure;
mod side_by_side;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let rounds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(3);
    let is_selected = |part: &str| words.iter().all(|word| word == part || word.parse::<usize>().is_ok());
    if is_selected("side-by-side") {
        side_by_side::compare(rounds);
    }
    if is_selected("growth") {
        growth::grow(rounds);
    }
}
