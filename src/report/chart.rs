//! Where things stand in a picture: cycles and files on a line of time. Places along a line are
//! percentages, so that a picture fits any width while its words keep their size.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

use super::model::{RunReport, TestReport, Transfer, Transfers};
use super::text::{count, seconds};

/// Pixels from one file to the next, and those that a test's name takes.
const FILE: usize = 9;
const NAME: usize = 22;
/// The steps of a line of time: a phone has room for their labels.
const STEPS: u64 = 5;

#[derive(Debug, Serialize)]
pub struct Chart<'a> {
    server: &'a str,
    label: String,
    height: usize,
    ticks: Vec<Tick>,
    cycles: Vec<f64>,
    lanes: Vec<Lane<'a>>,
}

#[derive(Debug, Serialize)]
struct Tick {
    x: f64,
    label: String,
}

#[derive(Debug, Serialize)]
struct Lane<'a> {
    test: &'a TestReport,
    transfers: &'a Transfers,
    y: usize,
    files: Vec<Bar>,
}

/// A file from its write to its arrival.
#[derive(Debug, Serialize)]
struct Bar {
    y: usize,
    x: f64,
    width: f64,
    end: f64,
    in_time: bool,
    label: String,
}

/// A chart for each server whose files were followed.
pub fn charts(report: &RunReport) -> Vec<Chart<'_>> {
    let mut servers = IndexMap::<&str, Vec<(&TestReport, &Transfers)>>::new();
    for test in &report.tests {
        if let (Some(server), Some(transfers)) = (&test.server, &test.transfers) {
            servers.entry(server).or_default().push((test, transfers));
        }
    }
    servers.into_iter().map(|(server, tests)| chart(server, &tests)).collect()
}

fn chart<'a>(server: &'a str, tests: &[(&'a TestReport, &'a Transfers)]) -> Chart<'a> {
    let files = || tests.iter().flat_map(|(_, transfers)| transfers.files.iter().map(|file| (file, transfers.limit)));
    let first = files().map(|(file, _)| file.written).min().unwrap_or_default();
    let last = files().map(|(file, limit)| end(file, limit)).max().unwrap_or_default();
    let cycles = tests.iter().flat_map(|(_, transfers)| transfers.cycles.iter().copied());
    let cycles: BTreeSet<u64> = cycles.filter(|cycle| (first..=last).contains(cycle)).collect();
    // Whole seconds.
    let from = first - first % 1_000;
    let step = ((last - from) / (STEPS * 1_000) + 1) * 1_000;
    let to = from.saturating_add(STEPS * step);
    let x = |moment: u64| percent(moment.saturating_sub(from), to - from);
    let mut y = 0;
    let lanes = tests.iter().map(|&(test, transfers)| {
        y += NAME;
        let top = y;
        let files = transfers.files.iter().map(|file| {
            let bar = bar(file, transfers.limit, y, x);
            y += FILE;
            bar
        });
        let files = files.collect();
        Lane { test, transfers, y: top, files }
    });
    let lanes: Vec<_> = lanes.collect();
    Chart {
        server,
        label: format!(
            "{} to {server} and {} of its sidecar, from {} to {} after the run began",
            count(files().count(), "file"),
            count(cycles.len(), "cycle"),
            seconds(Duration::from_millis(first)),
            seconds(Duration::from_millis(last))
        ),
        height: y + NAME,
        ticks: (0..=STEPS).map(|index| tick(from.saturating_add(index * step), x)).collect(),
        cycles: cycles.iter().map(|moment| x(*moment)).collect(),
        lanes,
    }
}

/// When a file arrived, or was given up.
fn end(file: &Transfer, limit: u64) -> u64 {
    file.arrived.unwrap_or(file.written.saturating_add(limit)).max(file.written)
}

fn bar(file: &Transfer, limit: u64, y: usize, x: impl Fn(u64) -> f64) -> Bar {
    let said = |millis| seconds(Duration::from_millis(millis));
    let took = file.arrived.map(|arrived| arrived.saturating_sub(file.written));
    let came =
        took.map_or_else(|| format!("not there after {}", said(limit)), |took| format!("there after {}", said(took)));
    let (start, end) = (x(file.written), x(end(file, limit)));
    Bar {
        y,
        x: start,
        width: round(end - start),
        end,
        in_time: took.is_some_and(|took| took <= limit),
        label: format!("written at {}, {came}", said(file.written)),
    }
}

fn tick(moment: u64, x: impl Fn(u64) -> f64) -> Tick {
    Tick { x: x(moment), label: format!("{} s", moment / 1_000) }
}

fn percent(part: u64, whole: u64) -> f64 {
    let seconds = |millis| Duration::from_millis(millis).as_secs_f64();
    if whole == 0 { 0.0 } else { round(seconds(part) / seconds(whole) * 100.0) }
}

fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
