//! The simulated cluster from outside: what is listed, what is refused, and that every output says so.

use file_simulator_e2e::event::SIMULATED;

use crate::support::Place;

#[test]
fn scenarios_are_listed_with_what_is_broken_and_which_tests_fail() {
    let help = Place::new().run(&["--simulate=help"]);
    assert_eq!(help.code, 0, "{}", help.err);
    assert!(help.out.lines().count() >= 40, "{}", help.out);
    let line = "sidecar-corrupts: nas-output-1: its sidecar changes a byte of each copy, and neither size nor time; \
                FAIL phase3::latency, phase3::multi-write\n";
    assert!(help.out.contains(line), "{}", help.out);
    let mistyped = Place::new().run(&["--simulate=sidecar-corupts"]);
    assert_eq!(mistyped.code, 2, "{}", mistyped.err);
    assert!(mistyped.err.contains("did you mean `sidecar-corrupts`?"), "{}", mistyped.err);
    let two = Place::new().run(&["--simulate", "--context", "mine"]);
    assert_eq!(two.code, 2, "{}", two.err);
}

#[test]
fn every_output_says_that_the_cluster_was_simulated() {
    let place = Place::new();
    let run = place.run(&["--simulate", "--suite", "phase2", "--record", "run.json.gz", "--exact", "phase2::release"]);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.starts_with(SIMULATED) && run.out.trim_end().ends_with("on a SIMULATED cluster"), "{}", run.out);
    assert!(place.report("phase2").contains("SIMULATED: scenario healthy"), "{}", place.report("phase2"));
    let replayed = place.run(&["replay", "run.json.gz"]);
    assert_eq!(replayed.code, 0, "{}", replayed.err);
    assert!(replayed.out.contains(SIMULATED), "{}", replayed.out);
}

#[test]
fn a_broken_server_is_told_with_its_hop() {
    let place = Place::new();
    let run = place.run(&["--simulate=service-selects-nothing", "--exact", "phase2::service::nas-input-1"]);
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(run.out.contains("FAIL  phase2::service::nas-input-1"), "{}", run.out);
}

#[test]
fn doctor_is_content_with_a_healthy_cluster_and_names_what_is_not() {
    let place = Place::new();
    for (scenario, code, words) in [
        (
            "healthy",
            0,
            &["PASS  permissions", "PASS  release      file-sim, revision 1, deployed", "PASS  mount", "PASS  node"][..],
        ),
        ("clock-off", 0, &["WARN  clock        the cluster's clock is 420s ahead"]),
        ("mount-dead", 3, &["FAIL  mount", "minikube -p simulated mount"]),
        ("folder-missing", 3, &["FAIL  folder", "nas-input-3: nothing of that name"]),
        ("exec-forbidden", 3, &["FAIL  permissions  no permission to get pods/exec", "WARN  mount"]),
    ] {
        let doctor = place.run(&["doctor", &format!("--simulate={scenario}")]);
        assert_eq!(doctor.code, code, "{scenario}: {}{}", doctor.out, doctor.err);
        for word in words {
            assert!(doctor.out.contains(word), "{scenario}: no `{word}` in: {}", doctor.out);
        }
    }
}
