//! What the real cluster said is judged again: each recorded fault makes exactly its own tests fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use file_simulator_e2e::check::Check;
use file_simulator_e2e::event::{Outcome, Verdict};
use file_simulator_e2e::recording::Recording;
use file_simulator_e2e::replay;
use file_simulator_e2e::sim::scenario;
use file_simulator_e2e::suite::Suite;
use file_simulator_e2e::suite::load::{BUILT_IN, load, parse};

use libtest_mimic::Trial;

use crate::support::catalogue::{self, Round};
use crate::support::place::Place;
use crate::support::root;

pub fn tests() -> Vec<Trial> {
    trials!("recorded":
        recordings_of_healthy_releases_are_green,
        each_recorded_fault_makes_exactly_its_own_tests_fail,
        what_a_fault_is_stands_in_the_words_of_its_test,
        every_kind_of_check_is_made_to_fail_by_a_recording_or_a_newer_one_by_a_scenario,
        a_recording_is_small_and_holds_nothing_of_commands_or_environments,
        replaying_gives_the_reports_and_the_exit_code_of_the_run,
    )
}

/// Where a recording is.
pub fn path(name: &str) -> PathBuf {
    root("fixtures/recordings").join(format!("{name}.json.gz"))
}

fn read(name: &str) -> (Recording, Vec<Suite>) {
    let recording = Recording::read(&path(name)).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
    let suites = recording.suites.iter().map(|suite| parse(&suite.origin, &suite.text).unwrap()).collect();
    (recording, suites)
}

/// The tests of a recording, with the kind of their check and what is judged of them now.
fn judged(name: &str) -> BTreeMap<String, (&'static str, Verdict)> {
    let (recording, suites) = read(name);
    let judged = recording.cases.iter().map(|case| {
        let planned = suites.iter().flat_map(|suite| &suite.cases).find(|planned| planned.id == case.id).unwrap();
        let verdict = replay::judge(&recording, &suites, case);
        (case.id.to_string(), (planned.check.kind(), verdict))
    });
    judged.collect()
}

/// The same, of a recording of all tests of a round and no other.
fn judged_of(round: &Round) -> BTreeMap<String, (&'static str, Verdict)> {
    let (recording, suites) = read(round.name);
    let is_of = |name: &str| !round.skip.iter().any(|part| name.contains(part));
    let all = suites.iter().flat_map(|suite| &suite.cases).map(|case| case.id.to_string());
    let all: BTreeSet<String> = all.filter(|name| is_of(name)).collect();
    assert_eq!(recording.planned.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), all, "{}", round.name);
    let names: Vec<&str> = suites.iter().map(|suite| suite.name.as_str()).collect();
    assert_eq!(names, round.suites, "{}", round.name);
    judged(round.name)
}

/// The tests that neither pass nor say where else something is tested, with their outcomes.
fn wrong(judged: &BTreeMap<String, (&'static str, Verdict)>) -> BTreeMap<String, String> {
    let wrong = judged.iter().filter(|(_, (_, verdict))| matches!(verdict.outcome, Outcome::Fail | Outcome::Error));
    wrong.map(|(name, (_, verdict))| (name.clone(), verdict.outcome.to_string())).collect()
}

fn recordings_of_healthy_releases_are_green() {
    let [older, _] = catalogue::older();
    for round in catalogue::green().into_iter().chain([older]) {
        let judged = judged_of(&round);
        let few = if round.suites.contains(&"restarts") { 6 } else { 100 };
        assert!(judged.len() > few && wrong(&judged).is_empty(), "{}: {:?}", round.name, wrong(&judged));
    }
}

fn each_recorded_fault_makes_exactly_its_own_tests_fail() {
    let rounds = catalogue::rounds();
    assert!(rounds.iter().map(|round| round.faults.len()).sum::<usize>() >= 30);
    for round in &rounds {
        let (name, judged) = (round.name, judged_of(round));
        let all: Vec<String> = judged.keys().cloned().collect();
        let expected = round.faults.iter().flat_map(|fault| catalogue::wrong(fault, &all));
        let expected: BTreeMap<_, _> = expected.map(|(name, outcome)| (name, outcome.to_owned())).collect();
        assert_eq!(wrong(&judged), expected, "{name}");
    }
}

fn what_a_fault_is_stands_in_the_words_of_its_test() {
    let said = |round: &str, test: &str| {
        let (_, verdict) = judged(round).remove(test).unwrap();
        let reasons = verdict.reasons.iter().map(|reason| format!("{reason:?}"));
        reasons.chain(verdict.notes).collect::<Vec<_>>().join("\n")
    };
    for (round, test, words) in [
        ("absent", "phase2::pods::nas-output-1", "didn't match Pod's node affinity/selector"),
        ("absent", "phase2::pods::nas-input-1", "ValidatingAdmissionPolicy no-pod objects"),
        ("absent", "phase2::pods::nas-input-2", "make webhook pods.no-pod.example answer"),
        ("absent", "phase2::pods::nas-output-2", "raise ResourceQuota no-pod"),
        ("absent", "phase2::pods::nas-backup", "pod-security.kubernetes.io/enforce of namespace file-simulator"),
        ("silent", "nfs::node-port::nas-input-1", "the NodePort leads to another server"),
        ("careless", "data-safety::newer-wins::nas-output-1", "same-size.txt"),
        ("careless", "data-safety::large-file::nas-output-2", "never less of it than was there before"),
        ("careless", "data-safety::many-files::nas-output-3", "the time that it has in the export"),
        ("reserved", "data-safety::names::nas-output-3", ".no-extension.AbCdEf"),
        ("reserved", "data-safety::reserved-names::nas-output-1", "Invalid argument (22)"),
        ("reserved", "data-safety::reserved-names::nas-output-1", "restarts with these names: 1"),
        ("reserved", "data-safety::reserved-names::nas-output-2", "no sync cycle ended"),
    ] {
        let said = said(round, test);
        assert!(said.contains(words), "{round}, {test}: {said}");
    }
}

fn every_kind_of_check_is_made_to_fail_by_a_recording_or_a_newer_one_by_a_scenario() {
    let mut failing: BTreeSet<&str> = BTreeSet::new();
    for round in catalogue::rounds() {
        let judged = judged(round.name).into_values();
        failing.extend(judged.filter(|(_, verdict)| verdict.outcome == Outcome::Fail).map(|(kind, _)| kind));
    }
    // No fault makes Kubernetes too old: the healthy recording is asked for more than there is.
    let (mut recording, _) = read("healthy");
    for suite in &mut recording.suites {
        suite.text = suite.text.replace(r#"min-version: "1.29""#, r#"min-version: "9.99""#);
    }
    let suites: Vec<_> = recording.suites.iter().map(|suite| parse(&suite.origin, &suite.text).unwrap()).collect();
    let cluster = recording.cases.iter().find(|case| case.id.to_string() == "phase2::cluster").unwrap();
    assert_eq!(replay::judge(&recording, &suites, cluster).outcome, Outcome::Fail);
    failing.insert("cluster");
    // Says what is not tested, and judges nothing.
    failing.insert("skip");
    // Of which a healthy run has a judgement.
    let judged = catalogue::green().into_iter().flat_map(|round| judged(round.name).into_values()).collect::<Vec<_>>();
    let passes = judged.iter().filter(|(_, verdict)| verdict.outcome == Outcome::Pass);
    let recorded: BTreeSet<&str> = passes.map(|(kind, _)| *kind).collect();
    let failing_there = by_scenarios();
    failing.extend(failing_there.iter().filter(|kind| !recorded.contains(*kind)));
    let all: BTreeSet<&str> = Check::ALL.iter().map(|about| about.key).collect();
    assert_eq!(all.difference(&failing).collect::<Vec<_>>(), Vec::<&&str>::new(), "these never fail");
}

/// The kinds of checks that fail in a scenario of the simulated cluster.
fn by_scenarios() -> BTreeSet<&'static str> {
    let suites: Vec<Suite> = BUILT_IN.iter().map(|(name, _)| load(name).unwrap()).collect();
    let named = scenario::all().unwrap().into_iter().flat_map(|scenario| scenario.fail);
    let slugs: BTreeSet<String> =
        named.map(|name| name.splitn(3, "::").take(2).collect::<Vec<_>>().join("::")).collect();
    let cases = suites.iter().flat_map(|suite| &suite.cases);
    let fails = cases.filter(|case| slugs.contains(&format!("{}::{}", case.id.suite, case.id.slug)));
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
    let replayed = |name: &str| place.run(&["replay", path(name).to_str().unwrap()]);
    let green = replayed("healthy");
    assert_eq!(green.code, 0, "{}", green.err);
    assert!(green.out.contains("judged again without a cluster") && green.out.contains("0 FAIL"), "{}", green.out);
    let red = replayed("no-copies");
    assert_eq!(red.code, 1, "{}", red.err);
    assert!(place.report("replay/phase3").contains(r#"<failure type="FAIL""#), "{}", place.report("replay/phase3"));
    for file in ["phase3.json", "index.html"] {
        let text = std::fs::read_to_string(place.path("reports/replay").join(file)).unwrap();
        assert!(text.contains("FAIL") && text.contains("judged again without a cluster"), "{file}");
    }
    std::fs::write(place.path("file"), "").unwrap();
    let unwritable = place.run(&["--record", "file/run.json.gz"]);
    assert_eq!(unwritable.code, 2, "before anything is run: {}", unwritable.err);
    std::fs::write(place.path("good.json.gz"), "good").unwrap();
    assert_eq!(place.run(&["--record", "good.json.gz"]).code, 3, "without a kubeconfig");
    assert_eq!(std::fs::read(place.path("good.json.gz")).unwrap(), b"good", "a refused run replaces no recording");
    let none = place.run(&["replay", "missing.json.gz"]);
    assert_eq!(none.code, 2);
    assert!(none.err.contains("missing.json.gz"), "{}", none.err);
}
