//! Recordings when checks, suites or observations have changed: each is judged anew, what is judged otherwise is told in
//! words, and `GOLDEN=write` keeps it. `MIGRATE=COMMAND` first gives each recording's JSON to any program.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use file_simulator_e2e::event::Verdict;
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::suite::load::parse;
use flate2::read::GzDecoder;
use libtest_mimic::{Failed, Trial};

use crate::support::golden::is_renewed;
use crate::support::root;

mod proof;

/// Each recording is judged as it was.
pub fn tests() -> Vec<Trial> {
    let judged = all(&root("fixtures/recordings")).into_iter().map(|path| {
        Trial::test(format!("judged::{}", name(&path)), move || {
            let told = Renewed::read(&path)?.told;
            let hint = "if that is right, GOLDEN=write cargo test --test recordings keeps it";
            if told.is_empty() { Ok(()) } else { Err(format!("{}\n{hint}", told.join("\n")).into()) }
        })
    });
    judged.chain(proof::tests()).collect()
}

/// What the environment wishes, before anything is tested.
pub fn renew() -> Result<(), Failed> {
    let folder = root("fixtures/recordings");
    if let Ok(command) = std::env::var("MIGRATE") {
        println!("migrated: {:?}", migrate(&folder, &command)?);
    }
    if is_renewed() {
        println!("{}", bless(&folder)?.join("\n"));
    }
    Ok(())
}

/// The recordings in a folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.to_string_lossy().ends_with(".json.gz"));
    all.sort();
    all
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().replace(".json.gz", "")
}

/// Gives each recording to a command and keeps what comes back; nothing is kept if any of them is no recording then.
/// Returns the names of those that changed.
fn migrate(folder: &Path, command: &str) -> Result<Vec<String>, Failed> {
    let migrated = all(folder).into_iter().map(|path| {
        let failed = |why: String| Failed::from(format!("{}: {why}", name(&path)));
        let mut text = String::new();
        GzDecoder::new(File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        let told = piped(command, &text).map_err(failed)?;
        let recording: Recording = serde_json::from_str(&told).map_err(|error| failed(error.to_string()))?;
        for suite in &recording.suites {
            parse(&suite.origin, &suite.text).map_err(|refusal| failed(refusal.to_string()))?;
        }
        let is_changed = serde_json::to_string(&recording).unwrap() != text;
        Ok(is_changed.then_some((path, recording)))
    });
    let changed = migrated.collect::<Result<Vec<_>, Failed>>()?.into_iter().flatten();
    let write = |(path, recording): (PathBuf, Recording)| {
        recording.write(&path).unwrap();
        name(&path)
    };
    Ok(changed.map(write).collect())
}

/// What a command of the shell makes of a text.
fn piped(command: &str, text: &str) -> Result<String, String> {
    let [shell, option] = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    input.rewind().unwrap();
    let ended = Command::new(shell).args([option, command]).stdin(input).stderr(Stdio::inherit()).output().unwrap();
    if !ended.status.success() {
        return Err(format!("{command}: {}", ended.status));
    }
    String::from_utf8(ended.stdout).map_err(|error| error.to_string())
}

/// Keeps what is judged of each recording now; one whose verdicts are what they were is not touched. Returns what changed.
fn bless(folder: &Path) -> Result<Vec<String>, Failed> {
    let mut told = Vec::new();
    for path in all(folder) {
        let renewed = Renewed::read(&path)?;
        if renewed.is_changed {
            renewed.recording.write(&path).unwrap();
        }
        told.extend(renewed.told);
    }
    Ok(told)
}

/// A recording with what is judged of it now.
struct Renewed {
    recording: Recording,
    is_changed: bool,
    /// What is judged otherwise than it was, in lines.
    told: Vec<String>,
}

impl Renewed {
    fn read(path: &Path) -> Result<Self, Failed> {
        let mut recording = Recording::read(path)?;
        let suites = recording.suites.iter().map(|suite| parse(&suite.origin, &suite.text));
        let suites = suites.collect::<Result<Vec<_>, _>>()?;
        let verdicts: Vec<_> = recording.cases.iter().map(|case| replay::judge(&recording, &suites, case)).collect();
        let (mut is_changed, mut told) = (false, Vec::new());
        for (case, now) in recording.cases.iter_mut().zip(verdicts).filter(|(case, now)| case.verdict != *now) {
            let (was, is) = (case.verdict.outcome, now.outcome);
            let what = if was == is { format!("{is} in other words") } else { format!("was {was}, is {is}") };
            told.push(format!("{}: {}: {what}", name(path), case.id));
            told.extend(difference(&lines(&case.verdict), &lines(&now)));
            // An ERROR of that kind judges nothing: kept, it would hide that the recording proves nothing any more.
            if now.reasons.iter().any(|reason| reason.expected == "an observation that can be read") {
                told.push("  this is no verdict and is never kept: migrate the observation".to_owned());
            } else {
                (is_changed, case.verdict) = (true, now);
            }
        }
        Ok(Self { recording, is_changed, told })
    }
}

/// All that a verdict says, besides its outcome.
fn lines(verdict: &Verdict) -> Vec<String> {
    let Verdict { summary, reasons, notes, hop, blocked_by, timeline, .. } = verdict;
    let reasons = reasons.iter().map(|reason| {
        let hint = if reason.hint.is_empty() { String::new() } else { format!("; do: {}", reason.hint) };
        format!("{}: expected {}, seen {}{hint}", reason.object, reason.expected, reason.seen)
    });
    let further = [
        hop.map(|hop| format!("at hop {hop}")),
        blocked_by.as_ref().map(|by| format!("blocked by {by}")),
        timeline.as_ref().map(|times| format!("times {}", serde_json::to_string(times).unwrap())),
    ];
    let notes = notes.iter().map(|note| format!("note: {note}"));
    [summary.clone()].into_iter().chain(reasons).chain(notes).chain(further.into_iter().flatten()).collect()
}

/// The lines that are gone, and those that are new.
fn difference(was: &[String], now: &[String]) -> Vec<String> {
    let without = |sign: char, these: &[String], others: &[String]| {
        let only = these.iter().filter(|line| !others.contains(line)).map(|line| format!("  {sign} {line}"));
        only.collect::<Vec<_>>()
    };
    let lines = [without('-', was, now), without('+', now, was)].concat();
    if lines.is_empty() && was != now { vec!["  the same in another order".to_owned()] } else { lines }
}
