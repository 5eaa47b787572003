//! Servers by hop, with one mark each: where a file's way is broken, at a glance.

use indexmap::IndexMap;

use super::model::{Mark, Row};
use crate::event::{Case, Hop, Outcome, Verdict};

/// Each server of these tests with its marks. A FAIL marks the hop that is broken, any other result all hops that a PASS
/// would prove, and an ERROR also the one that kept it from being judged.
pub fn rows<'a>(cases: impl Iterator<Item = (&'a Case, Option<&'a Verdict>)>) -> Vec<Row> {
    let mut servers: IndexMap<&str, [Option<Outcome>; 6]> = IndexMap::new();
    for (case, verdict) in cases {
        let Some(server) = &case.id.server else { continue };
        let marks = servers.entry(server).or_default();
        let Some(verdict) = verdict else { continue };
        let broken = verdict.hop.filter(|_| verdict.outcome == Outcome::Fail);
        for (hop, mark) in Hop::ALL.iter().zip(marks) {
            let is_meant = match broken {
                Some(broken) => broken == *hop,
                None => case.hops.contains(hop) || verdict.hop == Some(*hop) && verdict.outcome == Outcome::Error,
            };
            if is_meant && mark.is_none_or(|mark| weight(verdict.outcome) > weight(mark)) {
                *mark = Some(verdict.outcome);
            }
        }
    }
    let row = |(server, marks): (&str, [Option<Outcome>; 6])| {
        let marks = Hop::ALL.iter().zip(marks);
        let hops = marks.map(|(hop, outcome)| Mark { hop: hop.to_string(), mark: mark(outcome).to_owned() });
        Row { server: server.to_owned(), hops: hops.collect() }
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
    let head = rows.first().map(|row| line("", row.hops.iter().map(|mark| mark.hop.as_str()).collect()));
    let rows = rows.iter().map(|row| line(&row.server, row.hops.iter().map(|mark| mark.mark.as_str()).collect()));
    head.into_iter().chain(rows).collect()
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
