//! Judges recordings of the real cluster again, unchanged and mutated: each recorded fault fails exactly the expected tests.

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
use crate::support::expected::differences;
use crate::support::golden::is_updating;
use crate::support::junit::Results;
use crate::support::root;
use crate::support::workspace::Workspace;

mod mutated;

pub fn tests() -> Vec<Trial> {
    let recorded = trials!("recorded":
        each_recorded_fault_fails_exactly_the_expected_tests,
        every_kind_of_check_fails_in_a_recording_or_a_scenario,
        recordings_are_small_and_contain_no_commands_or_environments,
        a_replay_has_the_reports_and_the_exit_code_of_its_run,
        a_blocked_test_names_its_cause_by_the_slug_in_the_suite,
    );
    recorded.into_iter().chain(mutated::tests()).chain(verdicts()).collect()
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

/// Each recording contains exactly the tests of its round; on a healthy release, none fail.
fn each_recorded_fault_fails_exactly_the_expected_tests() {
    let Catalogue { green, faulty, older: [older, _] } = catalogue();
    assert!(faulty.iter().map(|round| round.faults.len()).sum::<usize>() >= 30);
    for round in faulty.iter().chain(&green).chain([&older]) {
        let (recording, suites) = read(&round.name);
        assert!(suites.iter().map(|suite| &*suite.name).eq(&round.suites), "{}", round.name);
        let all = suites.iter().flat_map(|suite| &suite.tests).map(|test| test.id.to_string());
        let mut all: Vec<String> = all.filter(|name| !round.skip.iter().any(|part| name.contains(part))).collect();
        all.sort_unstable();
        let ended = recording.tests.iter().map(|test| (test.id.to_string(), outcome_name(test.verdict.outcome)));
        let mut results: Results = ended.map(|(name, outcome)| (name, (outcome, String::new()))).collect();
        assert!(results.keys().eq(&all) && results.len() == recording.tests.len(), "{}", round.name);
        // `judged` compares the SKIPs.
        results.retain(|_, (outcome, _)| *outcome != "SKIP");
        let mut expected = round.expected(&all);
        expected.retain(|_, outcome| *outcome != "SKIP");
        assert_eq!(differences(&results, &expected), Vec::<String>::new(), "{}", round.name);
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "PASS",
        Outcome::Fail => "FAIL",
        Outcome::Error => "ERROR",
        Outcome::Skip => "SKIP",
    }
}

fn every_kind_of_check_fails_in_a_recording_or_a_scenario() {
    let Catalogue { green, faulty, .. } = catalogue();
    let fails = faulty.iter().flat_map(|round| &round.faults).flat_map(Fault::named);
    let fails = fails.filter(|(_, outcome)| *outcome == "FAIL").map(|(name, _)| name.to_owned());
    let mut failing = kinds(&fails.collect::<Vec<_>>());
    // No fault makes Kubernetes too old, and `skip` never fails.
    failing.extend(["cluster", "skip"]);
    let recorded = green.iter().flat_map(|round| read(&round.name).0.tests);
    let passes = recorded.filter(|test| test.verdict.outcome == Outcome::Pass).map(|test| test.id.to_string());
    let by_scenarios: Vec<_> = scenario::all().unwrap().into_iter().flat_map(|scenario| scenario.fail).collect();
    // A check that passes in no recording is newer than the recordings: a scenario may prove it.
    failing.extend(kinds(&by_scenarios).difference(&kinds(&passes.collect::<Vec<_>>())));
    let all: BTreeSet<&str> = Check::ALL.iter().map(|about| about.key).collect();
    assert_eq!(all.difference(&failing).collect::<Vec<_>>(), Vec::<&&str>::new(), "these never fail");
}

/// The kinds of checks of built-in tests, named with or without a server.
fn kinds(named: &[String]) -> BTreeSet<&'static str> {
    let tests = BUILT_IN.iter().flat_map(|(name, _)| load(name).unwrap().tests);
    let matching = tests.filter(|test| {
        let slug = format!("{}::{}::", test.id.suite, test.id.slug);
        named.iter().any(|name| format!("{name}::").starts_with(&slug))
    });
    matching.map(|test| test.check.kind()).collect()
}

fn recordings_are_small_and_contain_no_commands_or_environments() {
    let Catalogue { green, faulty, .. } = catalogue();
    for Round { name, .. } in faulty.iter().chain(&green) {
        assert!(std::fs::metadata(path(name)).unwrap().len() < 200_000, "{name}");
        let text = serde_json::to_string(&read(name).0.objects).unwrap();
        for secret in [r#""env":"#, r#""command":"#, "last-applied-configuration"] {
            assert!(!text.contains(secret), "{name} contains {secret}");
        }
    }
}

fn a_replay_has_the_reports_and_the_exit_code_of_its_run() {
    let workspace = Workspace::new();
    let replays =
        |name: &str, code, words: &[&str]| workspace.expect(&["replay", path(name).to_str().unwrap()], code, words);
    replays("healthy", 0, &["judged again without a cluster", "0 FAIL"]);
    replays("no-copies", 1, &[]);
    let page = std::fs::read_to_string(workspace.path("reports/replay/index.html")).unwrap();
    assert!(page.contains("FAIL") && page.contains("judged again without a cluster"), "{page}");
    workspace.expect(&["replay", "missing.json.gz"], 2, &["missing.json.gz"]);
    let bytes = std::fs::read(path("healthy")).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], b"{}", b""] {
        std::fs::write(workspace.path("cut.json.gz"), damaged).unwrap();
        workspace.expect(
            &["replay", "cut.json.gz"],
            2,
            &["is not a recording: the file is not gzipped JSON, or is corrupted or truncated"],
        );
    }
    std::fs::write(workspace.path("file"), "good").unwrap();
    // Before the run starts.
    workspace.expect(&["--record", "file/run.json.gz"], 2, &["file/run.json.gz"]);
    workspace.expect(&["--record", "file"], 3, &["no kubeconfig found"]);
    assert_eq!(std::fs::read(workspace.path("file")).unwrap(), b"good", "the old recording is kept");
}

fn a_blocked_test_names_its_cause_by_the_slug_in_the_suite() {
    for (old, new, by) in [
        ("slug: pods\n", "slug: running\n", Some("running::nas-input-2")),
        ("check: {pods: {}}", "check: {skip: {reason: x}}", None),
    ] {
        let (mut recording, _) = read("other-pods");
        for suite in &mut recording.suites {
            suite.text = suite.text.replace(old, new);
        }
        let blocked = recording.tests.iter().find(|test| test.id.to_string() == "phase2::unique").unwrap();
        let verdict = replay::judge(&recording, &suites(&recording), blocked);
        assert_eq!(verdict.blocked_by.as_deref(), by, "{verdict:?}");
    }
}

/// Each recording's verdicts are unchanged, word for word; `GOLDEN=write` saves changed verdicts.
fn verdicts() -> Vec<Trial> {
    let files = std::fs::read_dir(root("fixtures/recordings")).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix(".json.gz")?.to_owned();
        Some(Trial::test(format!("judged::{name}"), move || check_verdicts(&path)))
    });
    named.collect()
}

fn check_verdicts(path: &Path) -> Result<(), Failed> {
    let mut recording = Recording::read(path)?;
    let suites = suites(&recording);
    let verdicts: Vec<_> = recording.tests.iter().map(|test| replay::judge(&recording, &suites, test)).collect();
    let (mut changed, mut unreadable) = (Vec::new(), Vec::new());
    for (test, now) in recording.tests.iter_mut().zip(verdicts).filter(|(test, now)| test.verdict != *now) {
        // Never saved: the recording no longer proves anything.
        if now.reasons.iter().any(|reason| reason.expected == "a readable observation") {
            unreadable
                .push(format!("{}: {now:?}\n  not a verdict, never saved: migrate the recorded observation", test.id));
        } else {
            changed.push(format!("{}:\n{}", test.id, difference(&test.verdict, &now)));
            test.verdict = now;
        }
    }
    if is_updating() && !changed.is_empty() {
        println!("{}", changed.join("\n"));
        recording.write(path).unwrap();
        changed.clear();
    } else if !changed.is_empty() {
        changed.push("if this is right, save it: GOLDEN=write cargo test --test recordings".to_owned());
    }
    changed.extend(unreadable);
    if changed.is_empty() { Ok(()) } else { Err(changed.join("\n").into()) }
}

/// Removed and added lines.
fn difference(was: &Verdict, now: &Verdict) -> String {
    let [was, now] = [was, now].map(|verdict| serde_json::to_string_pretty(verdict).unwrap());
    let only = |sign: char, text: &str, other: &str| {
        let lines = text.lines().filter(|line| !other.lines().any(|other| other == *line));
        lines.map(|line| format!("  {sign} {line}\n")).collect::<Vec<_>>().concat()
    };
    only('-', &was, &now) + &only('+', &now, &was)
}
