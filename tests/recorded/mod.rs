//! What the real cluster said is judged again, as it is and bent: each recorded fault makes exactly its own tests fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use file_simulator_e2e::check::Check;
use file_simulator_e2e::event::{Outcome, Verdict};
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::sim::scenario;
use file_simulator_e2e::suite::Suite;
use file_simulator_e2e::suite::load::{BUILT_IN, load, recorded};
use libtest_mimic::{Failed, Trial};

use crate::support::catalogue::{self, Round};
use crate::support::golden::is_renewed;
use crate::support::place::Place;
use crate::support::root;

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
    let (rounds, [older, _]) = (catalogue::rounds(), catalogue::older());
    assert!(rounds.iter().map(|round| round.faults.len()).sum::<usize>() >= 30);
    for round in rounds.into_iter().chain(catalogue::green()).chain([older]) {
        let (recording, suites) = read(round.name);
        assert!(suites.iter().map(|suite| &*suite.name).eq(round.suites.iter().copied()), "{}", round.name);
        let all = suites.iter().flat_map(|suite| &suite.cases).map(|case| case.id.to_string());
        let mut all: Vec<String> = all.filter(|name| !round.skip.iter().any(|part| name.contains(part))).collect();
        let mut recorded: Vec<String> = recording.cases.iter().map(|case| case.id.to_string()).collect();
        all.sort_unstable();
        recorded.sort_unstable();
        assert_eq!(recorded, all, "{}", round.name);
        // What is SKIP, `judged` holds word for word.
        let wrong = recording.cases.iter().map(|case| (case.id.to_string(), case.verdict.outcome.to_string()));
        let wrong: BTreeMap<_, _> = wrong.filter(|(_, outcome)| ["FAIL", "ERROR"].contains(&&**outcome)).collect();
        let expected = round.faults.iter().flat_map(|fault| catalogue::wrong(fault, &all));
        let expected = expected.filter(|(_, outcome)| *outcome != "SKIP");
        let expected = expected.map(|(name, outcome)| (name, outcome.to_owned())).collect();
        assert_eq!(wrong, expected, "{}", round.name);
    }
}

/// The kinds of checks that ended so in the recordings of these rounds.
fn kinds(rounds: &[Round], outcome: Outcome) -> BTreeSet<&'static str> {
    let kinds = rounds.iter().flat_map(|round| {
        let (recording, suites) = read(round.name);
        let ended = recording.cases.into_iter().filter(|case| case.verdict.outcome == outcome);
        let ended: BTreeSet<String> = ended.map(|case| case.id.to_string()).collect();
        let planned = suites.into_iter().flat_map(|suite| suite.cases);
        planned.filter(move |planned| ended.contains(&planned.id.to_string())).map(|planned| planned.check.kind())
    });
    kinds.collect()
}

fn every_kind_of_check_is_made_to_fail_by_a_recording_or_a_newer_one_by_a_scenario() {
    let mut failing = kinds(&catalogue::rounds(), Outcome::Fail);
    // No fault makes Kubernetes too old, and `skip` judges nothing.
    failing.extend(["cluster", "skip"]);
    // Of which a healthy run has a judgement.
    let recorded = kinds(&catalogue::green(), Outcome::Pass);
    failing.extend(by_scenarios().difference(&recorded));
    let all: BTreeSet<&str> = Check::ALL.iter().map(|about| about.key).collect();
    assert_eq!(all.difference(&failing).collect::<Vec<_>>(), Vec::<&&str>::new(), "these never fail");
}

/// The kinds of checks that fail in a scenario of the simulated cluster.
fn by_scenarios() -> BTreeSet<&'static str> {
    let named: Vec<String> = scenario::all().unwrap().into_iter().flat_map(|scenario| scenario.fail).collect();
    let cases = BUILT_IN.iter().flat_map(|(name, _)| load(name).unwrap().cases);
    let fails = cases.filter(|case| {
        let slug = format!("{}::{}::", case.id.suite, case.id.slug);
        named.iter().any(|name| format!("{name}::").starts_with(&slug))
    });
    fails.map(|case| case.check.kind()).collect()
}

fn a_recording_is_small_and_holds_nothing_of_commands_or_environments() {
    let names = catalogue::rounds().into_iter().chain(catalogue::green());
    for Round { name, .. } in names {
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
        place.says(&["replay", "cut.json.gz"], 2, &["is no recording: it is no gzipped JSON, or damaged, or its end"]);
    }
    std::fs::write(place.path("file"), "good").unwrap();
    // Before anything is run.
    place.says(&["--record", "file/run.json.gz"], 2, &["file/run.json.gz"]);
    place.says(&["--record", "file"], 3, &["cannot read the kubeconfig"]);
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
        let blocked = recording.cases.iter().find(|case| case.id.to_string() == "phase2::unique").unwrap();
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
