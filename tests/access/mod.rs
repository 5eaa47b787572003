//! Least privilege: docs/rbac.yaml grants exactly what the code needs. Without any one permission, a run names it and makes the
//! affected tests ERROR, and `doctor` agrees: on simulated clusters, and on the real one with a service account.

use std::collections::BTreeSet;

use file_simulator_e2e::check::{ALWAYS, Need, OPTIONAL};
use file_simulator_e2e::cluster::Permission;
use file_simulator_e2e::suite::load;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::simulated::Simulated;
use crate::support::workspace::{RunResult, Workspace};

mod account;

use account::Account;

pub fn tests() -> Vec<Trial> {
    let own = trials!("access": the_role_grants_exactly_what_the_code_needs);
    let simulated = trials!("access::simulated": a_simulated_run_names_the_missing_permission);
    let real = trials!("access::real": all_suites_pass_with_only_the_role, a_real_run_names_the_missing_permission);
    [own, simulated, real].into_iter().flatten().collect()
}

const RBAC: &str = include_str!("../../docs/rbac.yaml");

fn all() -> BTreeSet<Permission> {
    let needs = Need::ALL.iter().flat_map(|need| need.permissions());
    needs.chain(ALWAYS).copied().chain(OPTIONAL.iter().map(|(permission, _)| *permission)).collect()
}

fn suite(permission: Permission) -> &'static str {
    if permission.verb == "delete" { "restarts" } else { "smoke" }
}

fn tests_that_need(permission: Permission) -> BTreeSet<String> {
    let needs = |test: &&file_simulator_e2e::suite::PlannedTest| {
        let mut needs = Need::ALL.iter().filter(|need| test.check.needs(**need));
        ALWAYS.contains(&permission) || needs.any(|need| need.permissions().contains(&permission))
    };
    load(suite(permission)).unwrap().tests.iter().filter(needs).map(|test| test.id.to_string()).collect()
}

/// `is_checked`: whether this version of Kubernetes checks the permission.
fn check_without(workspace: &Workspace, permission: Permission, is_checked: bool) {
    let suite = suite(permission);
    let run = workspace.run(&["--suite", suite, "--allow-disruption"]);
    let doctor = workspace.run(&["doctor", "--suite", suite]);
    let context = format!("without {permission}:\n{}\n{}", run.all(), doctor.all());
    let affected = if is_checked { tests_that_need(permission) } else { BTreeSet::new() };
    assert_eq!(
        (run.with("FAIL"), run.with("ERROR")),
        (BTreeSet::new(), affected.iter().map(String::as_str).collect()),
        "{context}"
    );
    if ALWAYS.contains(&permission) {
        assert!(run.results.values().all(|(_, why)| why.contains("could not start")), "refused: {context}");
    }
    let is_named = |ended: &RunResult| {
        let words = |line: &str| line.contains("no permission to") && line.contains(&permission.to_string());
        ended.all().lines().any(words)
    };
    let is_affected = !affected.is_empty();
    assert_eq!((run.code, doctor.code), if is_affected { (3, 3) } else { (0, 0) }, "{context}");
    assert_eq!((is_named(&run), is_named(&doctor)), (is_affected, is_checked), "{context}");
}

/// The permissions that roles grant, and whether they are cluster-wide.
fn granted(roles: &str) -> BTreeSet<(String, bool)> {
    let mut granted = BTreeSet::new();
    for object in serde_saphyr::from_multiple::<Value>(roles).unwrap() {
        let is_cluster_wide = object["kind"] == "ClusterRole";
        for rule in object["rules"].as_array().into_iter().flatten() {
            let [groups, resources, verbs] = ["apiGroups", "resources", "verbs"]
                .map(|key| rule[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>());
            let [group] = groups[..] else { panic!("expected a rule with one API group, got {rule}") };
            for resource in resources {
                let name = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
                granted.extend(verbs.iter().map(|verb| (format!("{verb} {name}"), is_cluster_wide)));
            }
        }
    }
    granted
}

fn the_role_grants_exactly_what_the_code_needs() {
    let named = |permission: &Permission| (permission.to_string(), permission.is_cluster_wide());
    assert_eq!(granted(RBAC), all().iter().map(named).collect());
    let (_, optional) = RBAC.split_once("# Optional").unwrap();
    let (_, rules) = optional.split("\n---").next().unwrap().split_once('\n').unwrap();
    let needed: Vec<_> = Need::ALL.iter().flat_map(|need| need.permissions()).chain(ALWAYS).collect();
    let others = all().into_iter().filter(|permission| !needed.contains(&permission));
    assert_eq!(granted(&format!("rules:\n{rules}")), others.map(|other| named(&other)).collect());
}

fn a_simulated_run_names_the_missing_permission() {
    let all: Vec<_> = all().into_iter().collect();
    // In parallel: runs mostly wait.
    std::thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(|| some.iter().copied().for_each(check_simulated_without));
        }
    });
}

fn check_simulated_without(permission: Permission) {
    let [_, plural, subresource] = permission.parts();
    // Scenarios name resources of the simulated cluster without their API group.
    let resource = match (subresource, permission.resource) {
        ("", "pods.metrics.k8s.io") => permission.resource.to_owned(),
        ("", _) => plural.to_owned(),
        _ => format!("{plural}/{subresource}"),
    };
    let fault = json!({"api": {"verbs": [permission.verb], "resources": [resource], "gets": {"status": 403}}});
    let simulated = Simulated::with(&[fault]);
    check_without(&simulated.workspace(), permission, permission.verb != "create");
}

fn all_suites_pass_with_only_the_role() {
    let account = Account::new();
    let suites = load::BUILT_IN.iter().flat_map(|(name, _)| ["--suite", *name]);
    let arguments: Vec<&str> = suites.chain(["--allow-disruption", "--quiet"]).collect();
    account.workspace().expect(&arguments, 0, &[]);
    account.workspace().expect(&["doctor"], 0, &[]);
}

fn a_real_run_names_the_missing_permission() {
    let account = Account::new();
    for permission in all() {
        account.without(permission);
        check_without(&account.workspace(), permission, account.is_checked(permission));
    }
}
