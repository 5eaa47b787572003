//! Each recording is judged as it was, word for word; `GOLDEN=write` keeps what is judged otherwise now.

use std::path::Path;

use file_simulator_e2e::event::Verdict;
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use libtest_mimic::{Failed, Trial};

use super::suites;
use crate::support::golden::is_renewed;
use crate::support::root;

pub fn tests() -> Vec<Trial> {
    let files = std::fs::read_dir(root("fixtures/recordings")).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".json.gz")?.to_owned();
        Some(Trial::test(format!("judged::{name}"), move || is_judged_as_it_was(&path)))
    });
    named.collect()
}

fn is_judged_as_it_was(path: &Path) -> Result<(), Failed> {
    let mut recording = Recording::read(path)?;
    let suites = suites(&recording);
    let verdicts: Vec<_> = recording.cases.iter().map(|case| replay::judge(&recording, &suites, case)).collect();
    let (mut otherwise, mut unreadable) = (Vec::new(), Vec::new());
    for (case, now) in recording.cases.iter_mut().zip(verdicts).filter(|(case, now)| case.verdict != *now) {
        // An ERROR of that kind judges nothing: kept, it would hide that the recording proves nothing any more.
        if now.reasons.iter().any(|reason| reason.expected == "an observation that can be read") {
            unreadable
                .push(format!("{}: {now:?}\n  this is no verdict and is never kept: change the observation", case.id));
        } else {
            otherwise.push(format!("{}:\n{}", case.id, difference(&case.verdict, &now)));
            case.verdict = now;
        }
    }
    if is_renewed() && !otherwise.is_empty() {
        println!("{}", otherwise.join("\n"));
        recording.write(path).unwrap();
        otherwise.clear();
    } else if !otherwise.is_empty() {
        otherwise.push("if that is right, GOLDEN=write cargo test --test recordings keeps it".to_owned());
    }
    otherwise.extend(unreadable);
    if otherwise.is_empty() { Ok(()) } else { Err(otherwise.join("\n").into()) }
}

/// The lines that are gone, and those that are new.
fn difference(was: &Verdict, now: &Verdict) -> String {
    let [was, now] = [was, now].map(|verdict| serde_json::to_string_pretty(verdict).unwrap());
    let only = |sign: char, text: &str, other: &str| {
        let lines = text.lines().filter(|line| !other.lines().any(|its| its == *line));
        lines.map(|line| format!("  {sign} {line}\n")).collect::<Vec<_>>().concat()
    };
    only('-', &was, &now) + &only('+', &now, &was)
}
