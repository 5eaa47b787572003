//! What the real cluster said is judged again, as it is and bent: each recorded fault makes exactly its own tests fail.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use file_simulator_e2e::check::Check;
use file_simulator_e2e::event::{Outcome, Verdict};
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::sim::scenario;
use file_simulator_e2e::suite::Suite;
use file_simulator_e2e::suite::load::{BUILT_IN, load, recorded};
use libtest_mimic::{Failed, Trial};

use crate::support::catalogue::{Catalogue, Fault, Round, catalogue};
use crate::support::golden::is_renewed;
use crate::support::junit::Results;
use crate::support::place::Place;
use crate::support::root;
use crate::support::wrong::differences;

mod bent;

pub fn tests() -> Vec<Trial> {
    let recorded = trials!("recorded":
        each_recorded_fault_makes_exactly_its_own_tests_fail,
        every_kind_of_check_is_made_to_fail_by_a_recording_or_a_newer_one_by_a_scenario,
        a_recording_is_small_and_holds_nothing_of_commands_or_environments,
        replaying_gives_the_reports_and_the_exit_code_of_the_run,
        a_blocked_test_names_the_one_that_says_more_as_its_suite_calls_it,
    );
    recorded.into_iter().chain(bent::tests()).chain(kept()).collect()
}

fn path(name: &str) -> PathBuf {
    root("fixtures/recordings").join(format!("{name}.json.gz"))
}

fn read(name: &str) -> (Recording, Vec<Suite>) {
    let recording = Recording::read(&path(name)).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let suites = suites(&recording);
    (recording, suites)
}

fn suites(recording: &Recording) -> Vec<Suite> {
    let parsed = recording.suites.iter().map(recorded);
    parsed.map(|suite| suite.unwrap_or_else(|refusal| panic!("{refusal}"))).collect()
}

/// And none in a release that is healthy. Each recording is of all tests of its round and of no other.
fn each_recorded_fault_makes_exactly_its_own_tests_fail() {
    let Catalogue { green, faulty, older: [older, _] } = catalogue();
    assert!(faulty.iter().map(|round| round.faults.len()).sum::<usize>() >= 30);
    for round in faulty.iter().chain(&green).chain([&older]) {
        let (recording, suites) = read(&round.name);
        assert!(suites.iter().map(|suite| &*suite.name).eq(&round.suites), "{}", round.name);
        let all = suites.iter().flat_map(|suite| &suite.tests).map(|test| test.id.to_string());
        let mut all: Vec<String> = all.filter(|name| !round.skip.iter().any(|part| name.contains(part))).collect();
        all.sort_unstable();
        let ended = recording.tests.iter().map(|test| (test.id.to_string(), said(test.verdict.outcome)));
        let mut results: Results = ended.map(|(name, outcome)| (name, (outcome, String::new()))).collect();
        assert!(results.keys().eq(&all) && results.len() == recording.tests.len(), "{}", round.name);
        // What is SKIP, `judged` holds word for word.
        results.retain(|_, (outcome, _)| *outcome != "SKIP");
        let mut wrong = round.wrong(&all);
        wrong.retain(|_, outcome| *outcome != "SKIP");
        assert_eq!(differences(&results, &wrong), Vec::<String>::new(), "{}", round.name);
    }
}

fn said(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Error => "ERROR",
        Outcome::Skip => "SKIP",
    }
}

fn every_kind_of_check_is_made_to_fail_by_a_recording_or_a_newer_one_by_a_scenario() {
    let Catalogue { green, faulty, .. } = catalogue();
    let fails = faulty.iter().flat_map(|round| &round.faults).flat_map(Fault::named);
    let fails = fails.filter(|(_, outcome)| *outcome == "FAIL").map(|(name, _)| name.to_owned());
    let mut failing = kinds(&fails.collect::<Vec<_>>());
    // No fault makes Kubernetes too old, and `skip` judges nothing.
    failing.extend(["cluster", "skip"]);
    let recorded = green.iter().flat_map(|round| read(&round.name).0.tests);
    let passes = recorded.filter(|test| test.verdict.outcome == Outcome::Pass).map(|test| test.id.to_string());
    let by_scenarios: Vec<_> = scenario::all().unwrap().into_iter().flat_map(|scenario| scenario.fail).collect();
    failing.extend(kinds(&by_scenarios).difference(&kinds(&passes.collect::<Vec<_>>())));
    let all: BTreeSet<&str> = Check::ALL.iter().map(|about| about.key).collect();
    assert_eq!(all.difference(&failing).collect::<Vec<_>>(), Vec::<&&str>::new(), "these never fail");
}

/// The kinds of checks of built-in tests that are named, each with a server or without.
fn kinds(named: &[String]) -> BTreeSet<&'static str> {
    let tests = BUILT_IN.iter().flat_map(|(name, _)| load(name).unwrap().tests);
    let its = tests.filter(|test| {
        let slug = format!("{}::{}::", test.id.suite, test.id.slug);
        named.iter().any(|name| format!("{name}::").starts_with(&slug))
    });
    its.map(|test| test.check.kind()).collect()
}

fn a_recording_is_small_and_holds_nothing_of_commands_or_environments() {
    let Catalogue { green, faulty, .. } = catalogue();
    for Round { name, .. } in faulty.iter().chain(&green) {
        assert!(std::fs::metadata(path(name)).unwrap().len() < 200_000, "{name}");
        let text = serde_json::to_string(&read(name).0.objects).unwrap();
        for secret in [r#""env":"#, r#""command":"#, "last-applied-configuration"] {
            assert!(!text.contains(secret), "{name} holds {secret}");
        }
    }
}

fn replaying_gives_the_reports_and_the_exit_code_of_the_run() {
    let place = Place::new();
    let replays = |name: &str, code, words: &[&str]| place.says(&["replay", path(name).to_str().unwrap()], code, words);
    replays("healthy", 0, &["judged again without a cluster", "0 FAIL"]);
    replays("no-copies", 1, &[]);
    let page = std::fs::read_to_string(place.path("reports/replay/index.html")).unwrap();
    assert!(page.contains("FAIL") && page.contains("judged again without a cluster"), "{page}");
    place.says(&["replay", "missing.json.gz"], 2, &["missing.json.gz"]);
    let bytes = std::fs::read(path("healthy")).unwrap();
    for wrong in [&bytes[..bytes.len() / 2], b"{}", b""] {
        std::fs::write(place.path("cut.json.gz"), wrong).unwrap();
        place.says(
            &["replay", "cut.json.gz"],
            2,
            &["is not a recording: the file is not gzipped JSON, or is corrupted or truncated"],
        );
    }
    std::fs::write(place.path("file"), "good").unwrap();
    // Before anything is run.
    place.says(&["--record", "file/run.json.gz"], 2, &["file/run.json.gz"]);
    place.says(&["--record", "file"], 3, &["no kubeconfig found"]);
    assert_eq!(std::fs::read(place.path("file")).unwrap(), b"good", "a refused run replaces no recording");
}

fn a_blocked_test_names_the_one_that_says_more_as_its_suite_calls_it() {
    for (there, instead, by) in [
        ("slug: pods\n", "slug: running\n", Some("running::nas-input-2")),
        ("check: {pods: {}}", "check: {skip: {reason: x}}", None),
    ] {
        let (mut recording, _) = read("other-pods");
        for suite in &mut recording.suites {
            suite.text = suite.text.replace(there, instead);
        }
        let blocked = recording.tests.iter().find(|test| test.id.to_string() == "phase2::unique").unwrap();
        let verdict = replay::judge(&recording, &suites(&recording), blocked);
        assert_eq!(verdict.blocked_by.as_deref(), by, "{verdict:?}");
    }
}

/// Each recording is judged as it was, word for word; `GOLDEN=write` keeps what is judged otherwise now.
fn kept() -> Vec<Trial> {
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
    let verdicts: Vec<_> = recording.tests.iter().map(|test| replay::judge(&recording, &suites, test)).collect();
    let (mut otherwise, mut unreadable) = (Vec::new(), Vec::new());
    for (test, now) in recording.tests.iter_mut().zip(verdicts).filter(|(test, now)| test.verdict != *now) {
        // An ERROR of that kind judges nothing: kept, it would hide that the recording proves nothing any more.
        if now.reasons.iter().any(|reason| reason.expected == "a readable observation") {
            unreadable
                .push(format!("{}: {now:?}\n  this is no verdict and is never kept: change the observation", test.id));
        } else {
            otherwise.push(format!("{}:\n{}", test.id, difference(&test.verdict, &now)));
            test.verdict = now;
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
