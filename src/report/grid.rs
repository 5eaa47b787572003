//! Servers by hop, with one mark each: where a file's way is broken, at a glance.

use indexmap::IndexMap;

use super::model::{Mark, Row, Test};
use crate::event::{Hop, Outcome};

/// Each server of these tests with its marks. A FAIL marks the hop that is broken, any other result all hops that a PASS
/// would prove, and an ERROR also the one that kept it from being judged.
pub fn rows(tests: &[Test]) -> Vec<Row> {
    let mut servers: IndexMap<&str, [Option<Outcome>; 6]> = IndexMap::new();
    for test in tests {
        let Some(server) = &test.server else { continue };
        let marks = servers.entry(server).or_default();
        for (hop, mark) in Hop::ALL.iter().zip(marks).filter(|_| test.is_finished) {
            let is_broken = test.hop == Some(hop.word());
            let is_meant = match (test.outcome, test.hop) {
                (Outcome::Fail, Some(_)) => is_broken,
                (Outcome::Error, _) => is_broken || test.hops.contains(hop),
                _ => test.hops.contains(hop),
            };
            if is_meant && mark.is_none_or(|mark| weight(test.outcome) > weight(mark)) {
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

/// Rows in lines of text; none if there are none.
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

/// The mark for an outcome; a dot where nothing was judged.
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
