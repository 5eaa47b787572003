//! What is said after upgrades of the real release: by `--changes`, and by all tests when helm did not wait long enough.

use std::collections::BTreeMap;

use serde_json::Value;

use super::run;
use crate::support::catalogue::Round;
use crate::support::lab::Lab;

/// Upgrades the release, and compares what is said of that; returns what is otherwise than expected.
pub fn differences(lab: &Lab) -> Vec<String> {
    let interval = ["--set", "global.sidecar.syncInterval=7"];
    assert!(lab.upgrade(&interval), "an upgrade that should work");
    let place = "spec.template.spec.initContainers[sync-to-windows].env[SYNC_INTERVAL] 5 -> 7";
    let outputs = [1, 2, 3].map(|number| format!("file-sim-file-simulator-nas-output-{number}"));
    let pods = outputs.each_ref().map(String::as_str);
    let expected = [
        "revision ",
        "values: global.sidecar.syncInterval 5 -> 7",
        &format!("Deployment {}: {place}", outputs.join(", ")),
        "pods made since: 3 of 7: ",
    ];
    let (mut found, after) = compared(lab, &expected, &pods);
    // A NodePort that another server has. It rolls out nothing else.
    let port = ["--set", "nasServers[3].service.nodePort=32150"];
    assert!(!lab.upgrade(&[interval, port].concat()), "an upgrade that should fail");
    let revision: u64 = after.rsplit(' ').next().and_then(|revision| revision.parse().ok()).unwrap_or_default();
    let failed = format!("revision {} is `failed`, and not in this", revision + 1);
    let expected = [&expected[..1], &[failed.as_str()], &expected[1..]].concat();
    found.extend(compared(lab, &expected, &pods).0);
    found.extend(given_up(lab));
    found
}

/// Upgrades the release and does not wait until its pods are Ready, which they become: only what helm says is wrong then.
fn given_up(lab: &Lab) -> Vec<String> {
    let limits = ["resources.limits.memory=192Mi", "sidecar.resources.limits.memory=96Mi"];
    let limits = limits.map(|limit| format!("nasDefaults.{limit}"));
    let arguments = ["--set", &limits[0], "--set", &limits[1], "--timeout", "1s"];
    assert!(!lab.upgrade(&arguments), "an upgrade that should take longer");
    let round = Round { suites: &["phase2", "phase3", "release"], ..Round::usual("given up", Vec::new()) };
    let run = run::run(lab, &round);
    let expected = ["phase2::release", "release::release"].map(|name| (name.to_owned(), "FAIL"));
    let mut found = run::differences(&run, &round, &BTreeMap::from(expected));
    if !run.all().contains("tests judge by it") {
        found.push("the run does not say which revision tests judge by".to_owned());
    }
    found.iter().map(|what| format!("given up: {what}")).collect()
}

/// What a run says otherwise than expected, by the beginnings of its lines and what the last of them holds; and its first line.
fn compared(lab: &Lab, expected: &[&str], pods: &[&str]) -> (Vec<String>, String) {
    let place = lab.place();
    let output = place.run(&["--suite=release", "--changes", "--color=never"]).out;
    let said: Vec<&str> = output.lines().filter_map(|line| Some(line.strip_prefix("changed:")?.trim())).collect();
    let report = std::fs::read_to_string(place.path("reports/release.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    let reported: Vec<&str> = report["changes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    println!("{}", said.join("\n"));
    let begins = said.len() == expected.len() && said.iter().zip(expected).all(|(line, begin)| line.starts_with(begin));
    let names = said.last().is_some_and(|last| pods.iter().all(|pod| last.contains(pod)));
    let mut found = Vec::new();
    if !begins || !names {
        found.push(format!("--changes: expected {expected:?} with {pods:?}, said {said:?}"));
    }
    if reported != said {
        found.push(format!("--changes: said {said:?}, and reported {reported:?}"));
    }
    (found, said.first().copied().unwrap_or_default().to_owned())
}
