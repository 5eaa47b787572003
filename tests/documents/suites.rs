//! Suite files: the schema, the reference of checks, `explain`, and invalid or malicious files.

use std::fmt::Write as _;
use std::time::Duration;

use file_simulator_e2e::check::{Check, KindInfo};
use file_simulator_e2e::error::Refusal;
use file_simulator_e2e::suite::load::{self, BUILT_IN, SYSTEMS};
use file_simulator_e2e::suite::schema::{self, schema};
use file_simulator_e2e::suite::{Suite, explain};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{SUITES, blocks};
use crate::support::golden::golden;
use crate::support::root;
use crate::support::simulated::Simulated;
use crate::support::speed;
use crate::support::workspace::{RunResult, Workspace};

/// A suite with its own system, without tests.
const HEAD: &str = "suite: x\nabout: x\nsystem:\n  pods: {labels: {a: b}, server-label: c}\n  servers: {r: [s, t]}\n  \
                    restart-window: 1m\n  export: {container: c, folder: /d, volume: v, port: 1}\n";

fn broken(name: &str) -> String {
    std::fs::read_to_string(root(&format!("fixtures/suites/broken/{name}.yaml"))).unwrap()
}

fn parse(origin: &str, text: &str) -> Result<Suite, Refusal> {
    load::parse(origin, text, |system| load::system(origin, system))
}

#[test]
fn the_reference_of_checks_matches_explain() {
    let head = "# Checks and their keys\n\nThe output of `explain CHECK` for each kind. [suites.md](suites.md) shows how to write a \
                suite. Generated; update with\n`GOLDEN=write cargo test --test offline -- the_reference_of_checks`.\n";
    let explained =
        |about: &KindInfo| format!("\n## {}\n\n```text\n{}```\n", about.key, explain::explain(about.key).unwrap());
    let kinds = Check::ALL.iter().map(explained);
    golden("docs/checks.md", &std::iter::once(head.to_owned()).chain(kinds).collect::<String>());
}

#[test]
fn the_published_schema_is_current_and_rejects_invalid_suites() {
    golden("docs/suite.schema.json", &format!("{:#}\n", schema()));
    golden("docs/system.schema.json", &format!("{:#}\n", schema::system()));
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let value = |text: &str| {
        serde_saphyr::from_str_with_options::<Value>(text, serde_saphyr::options! { strict_booleans: true }).unwrap()
    };
    let examples = blocks(SUITES, "yaml").into_iter().map(|text| ("docs/suites.md", text));
    for (name, text) in BUILT_IN.into_iter().chain(examples) {
        let wrong: Vec<_> = validator.iter_errors(&value(text)).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:?}");
    }
    let systems = jsonschema::draft202012::new(&schema::system()).unwrap();
    assert!(SYSTEMS.iter().all(|(_, text)| systems.is_valid(&value(text))));
    for name in ["unknown-check", "unknown-key", "wrong-duration", "tests-nothing", "no-time", "no-group", "old-form"] {
        assert!(!validator.is_valid(&value(&broken(name))), "{name}");
    }
}

#[test]
fn every_check_is_explained_with_its_keys_and_a_working_example() {
    let listed = Workspace::new().run(&["explain"]).out;
    for about in Check::ALL {
        assert!(listed.contains(&format!("{} ", about.key)), "{listed}");
        let text = explain::explain(about.key).unwrap();
        let (_, example) = text.split_once(":\n\n- slug:").unwrap_or_else(|| panic!("{text}"));
        let suite = format!("suite: x\nabout: x\nsystem: file-simulator\ntests:\n- slug:{example}");
        let suite = parse("explain", &suite).unwrap_or_else(|refusal| panic!("{refusal}\n{text}"));
        assert_eq!(suite.tests[0].check.kind(), about.key);
    }
    let words = [
        "Judges a server; needs the host folder, commands in containers, logs; some keys also need port-forwards; a PASS proves",
        "Permissions beyond those of every test: create pods/exec, get pods/exec, get pods/log.\n",
        "For some keys: create pods/portforward, get pods/portforward.\n",
        "  bytes: number from 1 to 65535\n",
        "  samples: number from 1 to 20, default `1`\n",
        "  within: duration\n",
    ];
    Workspace::new().expect(&["explain", "file-sync"], 0, &words);
    let words = [
        "  export: export\n",
        "    folder: text\n",
        "  sidecar: sidecar, optional\n",
        "    cycle-end: pattern\n",
        "      values: text\n",
    ];
    Workspace::new().expect(&["explain", "system"], 0, &words);
}

#[test]
fn every_error_in_a_suite_is_reported_with_its_position() {
    let good = format!("{HEAD}tests:\n  - slug: one\n    on: [r]\n    check: {{host-folder: {{}}}}\n");
    assert_eq!(parse("f", &good).unwrap().tests.len(), 2);
    for (old, new, words) in [
        ("suite: x", "suite: X", "f:1:8: invalid suite name `X`"),
        ("[s, t]", "[../s]", "f:5:17: invalid server name `../s`"),
        ("[s, t]", "[s, s]", "f:5:20: duplicate server `s`"),
        ("{r: [s, t]}", "{r: [s, t], s: [t]}", "f:5:12: ambiguous role `s`"),
        ("{r: [s, t]}", "{r: [s], q: []}", "f:5:12: role `q` has no servers"),
        ("{r: [s, t]}", "{}", "f:5:12: the system has no servers"),
        ("host-folder: {}", "pod-count: {}", "f:9:11: check `pod-count` judges the system as a whole"),
        ("slug: one", "slug: one two", "f:9:11: invalid slug `one two`"),
        ("[r]", "[rr]", "f:10:10: unknown role or server `rr`"),
    ] {
        let refusal = parse("f", &good.replace(old, new)).unwrap_err();
        assert!(refusal.what.contains(words), "{words}: {refusal}");
    }
    for (name, place, words) in [
        ("unknown-check", "8:7", "unknown check `podz`"),
        ("unknown-key", "9:9", "did you mean `within`?"),
        ("unknown-server", "6:10", "did you mean `input`?"),
        ("slug-twice", "7:11", "duplicate test broken::count"),
        ("no-server", "5:11", "check `pods` needs servers"),
        ("wrong-duration", "9:17", "write a duration like 90s or 10m"),
        ("not-yaml", "3:1", "quoted scalar"),
        ("no-sidecar", "9:11", "check `file-update` needs a system with `sidecar`"),
        ("old-form", "3:1", "moved to the suite's `system`"),
        ("no-group", "8:77", "has no group"),
        ("no-time", "9:17", "must be more than zero"),
        ("tests-nothing", "10:17", "must not be zero or empty"),
    ] {
        let refusal = parse(name, &broken(name)).unwrap_err().to_string();
        assert!(refusal.contains(&format!("{name}:{place}:")) && refusal.contains(words), "{words}: {refusal}");
    }
}

#[test]
fn keys_of_older_versions_are_rejected_with_a_pointer_to_the_system() {
    // Keys of a suite, and of checks.
    let old = ["pods: {labels: {a: b}, server-label: c}", "servers: {r: [s]}"].map(|old| (format!("{HEAD}{old}\n"), 8));
    let kinds = [
        ("service", "type port node-port target-port restart-window"),
        ("nfs", "export access file sidecar"),
        ("log-cadence", "cycle-begin error excuse interval"),
        ("rsync-delete", "container note-in"),
        ("sidecar-set-up", "export-volume folder-volume direction head resources"),
        ("fsid", "pattern variable id"),
        ("native-sidecar", "after"),
        ("export-options", "options"),
        ("security", "server"),
        ("size-limit", "volume"),
        ("restart", "init-container"),
        ("resources", "containers"),
    ];
    let of = |(kind, keys): (&'static str, &'static str)| {
        let test = move |key| {
            format!("{HEAD}tests:\n  - slug: one\n    on: [r]\n    check:\n      {kind}:\n        {key}: x\n")
        };
        keys.split(' ').map(move |key| (test(key), 13))
    };
    for (text, line) in old.into_iter().chain(kinds.into_iter().flat_map(of)) {
        let refusal = parse("f", &text).unwrap_err();
        assert!(
            refusal.what.starts_with(&format!("f:{line}:")) && refusal.hint.contains("moved to the suite's `system`"),
            "{refusal}"
        );
    }
    let new = parse("f", &HEAD.replace("labels", "label")).unwrap_err();
    assert!(new.hint.contains("did you mean `labels`?"), "{new}");
}

#[test]
fn oversized_files_and_yaml_bombs_are_rejected() {
    let workspace = Workspace::new();
    let head = HEAD;
    let mut bomb = format!(
        "{head}  facts:\n    fsid:\n      values: v\n      default:\n            a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    );
    for n in 1..9 {
        let again = format!("*a{}, ", n - 1).repeat(10);
        let _ = writeln!(bomb, "            a{n}: &a{n} [{again}]");
    }
    let servers = (0..2000).map(|n| format!("s{n}, ")).collect::<Vec<_>>().concat();
    let test = |n| format!("  - {{slug: t{n}, on: [all], check: {{host-folder: {{}}}}}}\n");
    let many = head.replace("[s, t]", &format!("[{servers}]"));
    let tests = (0..500).map(test).collect::<Vec<_>>().concat();
    for (name, text, words) in [
        ("large", format!("{head}#{}", " ".repeat(10 << 20)), "larger than 1024 KiB"),
        ("bomb", bomb, "too large or too deeply nested"),
        ("deep", format!("{head}tests: {}", "[".repeat(5000)), "deep.yaml:8:"),
        ("many", many + "tests:\n" + &tests, "more than 10000 tests"),
        ("twice", format!("{head}about: y\n"), "duplicate key `about`"),
        ("documents", format!("{head}tests: []\n---\n{head}"), "several documents, expected one"),
        ("control", "suite: \0".to_owned(), "control.yaml:1:"),
    ] {
        let file = format!("{name}.yaml");
        std::fs::write(workspace.path(&file), text).unwrap();
        let refused = workspace.expect(&["--list", "--suite", &file], 2, &[words]);
        assert!(refused.err.starts_with("error: ") && refused.err.len() < 1000, "{name}: {}", refused.err);
        for library in ["Options", "from_str", "breached", " {"] {
            assert!(!refused.err.contains(library), "{name}: {}", refused.err);
        }
    }
}

/// A built-in suite with a part replaced.
fn mutated() -> impl Strategy<Value = String> {
    let pieces = [": ", "- ", "&a", "*a", "<<: *sidecar", "{", "]", "'", "\t", "\n", "!!binary ", "---\n", "0", "~"];
    let piece = prop_oneof![".{0,12}", prop::sample::select(pieces.map(str::to_owned).to_vec())];
    (0..BUILT_IN.len(), any::<prop::sample::Index>(), 0..40_usize, piece).prop_map(|(suite, at, length, piece)| {
        let mut text: Vec<char> = BUILT_IN[suite].1.chars().collect();
        let begin = at.index(text.len());
        let end = (begin + length).min(text.len());
        text.splice(begin..end, piece.chars());
        text.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_causes_a_panic_and_every_error_has_a_position(text in prop_oneof![mutated(), "\\PC{0,200}", any::<String>()]) {
        if let Err(refusal) = parse("x.yaml", &text) {
            let place = refusal.what.strip_prefix("x.yaml:").and_then(|rest| rest.split(':').next()?.parse::<u32>().ok());
            prop_assert!(place.is_some_and(|line| line > 0), "{}", refusal.what);
            prop_assert!(!refusal.hint.is_empty());
        }
    }
}

fn objects() -> Vec<Value> {
    serde_saphyr::from_multiple(include_str!("../../fixtures/suites/shares/manifests.yaml")).unwrap()
}

/// Runs the example suite of the documentation on these objects.
fn shares(objects: &[Value]) -> RunResult {
    let add =
        |object: &Value| json!({"add": {"kind": object["kind"].as_str().unwrap().to_lowercase(), "object": object}});
    let faults: Vec<Value> = objects.iter().map(add).collect();
    let simulated = Simulated::with(&faults);
    let workspace = simulated.workspace();
    std::fs::write(workspace.path("shares.yaml"), blocks(SUITES, "yaml")[0]).unwrap();
    let values = root("fixtures/suites/shares/values.yaml").to_string_lossy().into_owned();
    let settle = speed::duration(Duration::from_secs(10));
    let ended = workspace.run(&["--suite", "shares.yaml", "--values", &values, "--timeout", &settle]);
    assert_eq!(simulated.leftovers(), Vec::<String>::new(), "leftover files");
    ended
}

#[test]
fn a_suite_for_another_chart_passes_there_and_detects_its_faults() {
    let ended = shares(&objects());
    assert!(ended.code == 0 && ended.with("PASS").len() == 13, "{}", ended.all());
    let mut objects = objects();
    for object in objects.iter_mut().filter(|object| object["metadata"]["name"] == "share-b") {
        if object["kind"] == "Service" {
            object["spec"]["selector"]["app"] = json!("sheares");
            continue;
        }
        let pod = &mut object["spec"]["template"]["spec"];
        pod["volumes"][0]["emptyDir"] = json!({});
        pod["containers"][0]["securityContext"]["capabilities"]["add"] = json!(["NET_ADMIN"]);
        pod["containers"][0]["volumeMounts"][0]["readOnly"] = json!(true);
    }
    let labels = json!({"app": "shares", "app.kubernetes.io/name": "share-c"});
    let spec = json!({"containers": [{"name": "files", "image": "alpine:latest"}]});
    objects.push(json!({"kind": "Pod", "metadata": {"name": "stray", "labels": labels}, "spec": spec}));
    let ended = shares(&objects);
    let wrong = ["apart::share-b", "count", "folder::share-b", "limit::share-b", "rights::share-b", "service::share-b"];
    let wrong = wrong.map(|test| format!("shares::{test}"));
    assert_eq!((ended.code, ended.with("FAIL")), (1, wrong.iter().map(String::as_str).collect()), "{}", ended.all());
    for test in ["ready", "service", "rights", "limit", "folder"] {
        assert!(ended.with("PASS").contains(format!("shares::{test}::share-a").as_str()), "{test}: {}", ended.all());
    }
}
