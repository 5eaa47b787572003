//! `--simulate`: the output of runs, `replay` and `doctor` on simulated clusters.

use file_simulator_e2e::event::SIMULATED;
use serde_json::json;

use crate::support::simulated::Simulated;
use crate::support::workspace::Workspace;

#[test]
fn every_output_is_marked_simulated_and_a_diagnosis_lasts_until_the_next_green_run() {
    let (workspace, name) = (Workspace::new(), "phase3::sidecar::nas-output-2");
    let file = workspace.path("reports/diagnostics/nas-output-2.txt");
    let more = format!("diagnosis of nas-output-2: {}\n", file.display());
    let run =
        workspace.expect(&["--simulate=sidecar-crash-loop", "--record", "run.json.gz", "--exact", name], 1, &[&more]);
    assert!(run.out.starts_with(SIMULATED) && run.out.trim_end().ends_with("on a SIMULATED cluster"), "{}", run.out);
    let junit = std::fs::read_to_string(workspace.path("reports/phase3.xml")).unwrap();
    assert!(junit.contains("SIMULATED: scenario sidecar-crash-loop"), "{junit}");
    let text = std::fs::read_to_string(&file).unwrap();
    for part in [
        "nas-output-2  .        .        .        .        FAIL     .\n",
        "FAIL phase3::sidecar::nas-output-2, at hop sidecar\n",
        "    previous run: ",
        "Back-off restarting failed container sync-to-windows",
        "Starting NFS server (fsid=6)",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    workspace.expect(&["replay", "run.json.gz"], 1, &[SIMULATED]);
    let again = std::fs::read_to_string(workspace.path("reports/replay/diagnostics/nas-output-2.txt")).unwrap();
    let sections = |text: &str| text.split_once("\npods:\n").unwrap().1.to_owned();
    assert_eq!(sections(&again), sections(&text));
    let foreign = file.with_file_name("mine.txt");
    std::fs::write(&foreign, "notes").unwrap();
    assert_eq!(workspace.run(&["--simulate", "--exact", name]).code, 0);
    assert!(!file.exists() && foreign.exists());
}

#[test]
fn the_header_shows_the_wait_for_sync_cycles_and_disruptive_tests_name_their_option() {
    for (arguments, code, words) in [
        (["--exact", "phase3::latency::nas-output-1"], 0, &["up to about 4 s: 2 sync cycles of 2 s"][..]),
        (
            ["--suite", "restarts"],
            4,
            &["0 PASS, 0 FAIL, 0 ERROR, 7 SKIP", "disruptive; enable with --allow-disruption"],
        ),
    ] {
        let ended = Workspace::new().expect(&[&["--simulate"], &arguments[..]].concat(), code, words);
        let disrupts = ended.out.matches("enable with --allow-disruption").count();
        assert_eq!(disrupts, if code == 4 { 7 } else { 0 }, "{}", ended.out);
    }
    let waits_not = Workspace::new().expect(&["--simulate", "--exact", "phase2::isolation::nas-output-1"], 0, &[]);
    assert!(!waits_not.out.contains("sync cycle"), "{}", waits_not.out);
}

#[test]
fn a_blocked_test_names_its_cause_by_the_slug_in_the_suite() {
    let workspace = Workspace::new();
    let head = "suite: mine\nabout: x\nsystem: file-simulator\ntests:\n";
    let test = |slug: &str, kind: &str| format!("  - {{slug: {slug}, on: [nas-output-3], check: {{{kind}: {{}}}}}}\n");
    let run = ["--simulate=second-pod", "--suite", "mine.yaml", "--exact", "mine::options::nas-output-3"];
    for (others, is_named) in [(test("runs", "pods"), true), (test("pods", "fsid"), false)] {
        std::fs::write(workspace.path("mine.yaml"), format!("{head}{}{others}", test("options", "export-options")))
            .unwrap();
        let run = workspace.expect(&run, 3, &["2 pods"]);
        assert_eq!(run.out.contains("blocked by runs::nas-output-3"), is_named, "{}", run.out);
        assert!(is_named || !run.out.contains("blocked"), "{}", run.out);
    }
}

#[test]
fn doctor_passes_a_healthy_cluster_and_names_each_problem() {
    let healthy =
        ["PASS  folder", "PASS  permissions", "PASS  commands", "PASS  release      file-sim, revision 1, deployed"];
    for (scenario, code, words) in [
        ("healthy", 0, &healthy[..]),
        ("clock-off", 0, &["WARN  clock        the cluster's clock is 420 s ahead"]),
        (
            "no-websocket",
            3,
            &["PASS  permissions", "FAIL  commands", "403 Forbidden, text/html", "it falls back to SPDY"],
        ),
        ("gateway-down", 3, &["FAIL  cluster", "from a Kubernetes API server: 502 Bad Gateway, text/html", "VPN"]),
        ("login-page", 3, &["FAIL  cluster", "302 Found, text/html, Location: https://login.example/start\n"]),
        ("api-later", 3, &["FAIL  cluster", "429 Too Many Requests, Retry-After: 60 (attempt 1)"]),
        ("api-busy", 0, &["PASS  release      file-sim, revision 1, deployed"]),
        (
            "namespace-ends",
            3,
            &["FAIL  namespace", "is being deleted: Some resources are remaining: pods. has 7 resource"],
        ),
    ] {
        Workspace::new().expect(&["doctor", &format!("--simulate={scenario}")], code, words);
    }
}

#[test]
fn doctor_reports_failing_lists_and_denied_pods() {
    let list = |resource| json!({"api": {"verbs": ["list"], "resources": [resource], "gets": {"status": 500}}});
    let level = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let denied =
        json!({"patch": {"kind": "namespace", "steps": [{"op": "add", "path": "/metadata/labels", "value": level}]}});
    let pods = ["FAIL  pods         nas-input-2: ReplicaSet", "pod-security.kubernetes.io/enforce"];
    for (fault, fails, words) in [
        (list("deployments"), 1, &["FAIL  objects      list deployments.apps failed"][..]),
        (list("services"), 1, &["FAIL  objects      list services failed"]),
        (list("secrets"), 1, &["FAIL  release      file-sim, revision unknown: list secrets failed"]),
        (denied, 7, &pods),
    ] {
        let doctor = Simulated::with(&[fault]).workspace().expect(&["doctor"], 3, words);
        assert_eq!(doctor.out.matches("FAIL  ").count(), fails, "{}", doctor.out);
    }
}
