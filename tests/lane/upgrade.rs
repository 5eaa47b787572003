//! What all tests say after an upgrade of the real release that helm did not wait for long enough.

use super::run;
use crate::support::catalogue::Round;
use crate::support::lab::Lab;
use crate::support::wrong::Wrong;

/// Upgrades the release and does not wait until its pods are Ready, which they become: only what helm says is wrong then.
pub fn differences(lab: &Lab) -> Vec<String> {
    let limits = ["resources.limits.memory=192Mi", "sidecar.resources.limits.memory=96Mi"];
    let limits = limits.map(|limit| format!("nasDefaults.{limit}"));
    let arguments = ["--set", &limits[0], "--set", &limits[1], "--timeout", "1s"];
    assert!(!lab.upgrade(&arguments), "an upgrade that should take longer");
    let suites = ["phase2", "phase3", "release"].map(str::to_owned).to_vec();
    let round = Round { suites, ..Round::healthy("given up") };
    let run = run::run(lab, &round);
    let expected = ["phase2::release", "release::release"].map(|name| (name.to_owned(), "FAIL"));
    let mut found = run::differences(&run, &round, &Wrong::from(expected));
    if !run.all().contains("tests judge by it") {
        found.push("the run does not say which revision tests judge by".to_owned());
    }
    found.iter().map(|what| format!("given up: {what}")).collect()
}
