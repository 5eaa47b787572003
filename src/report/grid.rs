//! The grid: a mark for each server and hop shows where files get stuck.

use indexmap::IndexMap;

use super::model::{Mark, Row, Test};
use crate::event::{Hop, Outcome};

/// One row per server. A FAIL marks the broken hop, any other result all hops that a PASS would prove, and an ERROR also the
/// hop that kept it from being judged.
pub fn rows(tests: &[Test]) -> Vec<Row> {
    let mut servers: IndexMap<&str, [Option<Outcome>; 6]> = IndexMap::new();
    for test in tests {
        let Some(server) = &test.server else { continue };
        let marks = servers.entry(server).or_default();
        for (hop, mark) in Hop::ALL.iter().zip(marks).filter(|_| test.is_finished) {
            let is_broken = test.hop == Some(hop.word());
            let is_marked = match (test.outcome, test.hop) {
                (Outcome::Fail, Some(_)) => is_broken,
                (Outcome::Error, _) => is_broken || test.hops.contains(hop),
                _ => test.hops.contains(hop),
            };
            if is_marked && mark.is_none_or(|mark| weight(test.outcome) > weight(mark)) {
                *mark = Some(test.outcome);
            }
        }
    }
    let row = |(server, marks): (&str, [Option<Outcome>; 6])| {
        let marks = Hop::ALL.iter().zip(marks);
        let hops = marks.map(|(hop, outcome)| Mark { hop: hop.word(), mark: mark(outcome) }).collect();
        Row { server: server.to_owned(), hops }
    };
    servers.into_iter().map(row).collect()
}

/// The grid as text; no lines if it has no rows.
pub fn lines(rows: &[Row]) -> Vec<String> {
    let Some(width) = rows.iter().map(|row| row.server.len()).max() else { return Vec::new() };
    let line = |head: &str, cells: Vec<&str>| {
        let cells = cells.iter().map(|cell| format!("  {cell:<7}")).collect::<Vec<_>>().concat();
        format!("{head:width$}{cells}").trim_end().to_owned()
    };
    let head = line("", Hop::ALL.map(Hop::word).to_vec());
    let rows = rows.iter().map(|row| line(&row.server, row.hops.iter().map(|mark| mark.mark).collect()));
    std::iter::once(head).chain(rows).collect()
}

fn mark(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Pass) => "ok",
        Some(Outcome::Fail) => "FAIL",
        Some(Outcome::Error) => "?",
        Some(Outcome::Skip) => "skip",
        None => ".",
    }
}

fn weight(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Skip => 0,
        Outcome::Pass => 1,
        Outcome::Error => 2,
        Outcome::Fail => 3,
    }
}
