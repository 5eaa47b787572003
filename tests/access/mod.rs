//! Least privilege: docs/rbac.yaml is what the code asks for; with each permission taken away a run on the simulated cluster
//! names it, judges nothing that it cannot see, and `doctor` says the same. On the real cluster all suites are green for a
//! service account that has just docs/rbac.yaml.

use std::collections::BTreeSet;

use file_simulator_e2e::check::{ALWAYS, Need, OPTIONAL};
use file_simulator_e2e::cluster::{Permission, Target};
use file_simulator_e2e::suite::{PlannedCase, load};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::lab::Lab;
use crate::support::place::{Ended, Place};
use crate::support::simulated::Simulated;

pub fn tests() -> Vec<Trial> {
    let own = trials!("access": the_role_has_what_the_code_asks_for_and_nothing_more);
    let simulated = trials!("access::simulated": without_a_permission_a_simulated_run_names_it);
    let real = trials!("access::real": all_suites_are_green_with_just_the_role);
    [own, simulated, real].into_iter().flatten().collect()
}

const RBAC: &str = include_str!("../../docs/rbac.yaml");

fn all() -> BTreeSet<Permission> {
    let needs = Need::ALL.iter().flat_map(|need| need.permissions());
    needs.chain(ALWAYS).copied().chain(OPTIONAL.iter().map(|(permission, _)| *permission)).collect()
}

fn the_role_has_what_the_code_asks_for_and_nothing_more() {
    let mut granted = BTreeSet::new();
    for object in serde_saphyr::from_multiple::<Value>(RBAC).unwrap() {
        let is_cluster_wide = object["kind"] == "ClusterRole";
        for rule in object["rules"].as_array().into_iter().flatten() {
            let [groups, resources, verbs] = ["apiGroups", "resources", "verbs"]
                .map(|key| rule[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>());
            let [group] = groups[..] else { panic!("a rule of one API group, and not {rule}") };
            for resource in resources {
                let name = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
                granted.extend(verbs.iter().map(|verb| (format!("{verb} {name}"), is_cluster_wide)));
            }
        }
    }
    let asked: BTreeSet<_> = all().iter().map(|asked| (asked.to_string(), asked.is_cluster_wide())).collect();
    assert_eq!(granted, asked);
}

fn without_a_permission_a_simulated_run_names_it() {
    let all: Vec<_> = all().into_iter().collect();
    // Runs wait more than they work.
    std::thread::scope(|scope| {
        for some in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(|| some.iter().copied().for_each(lacks));
        }
    });
}

fn lacks(permission: Permission) {
    let [_, plural, subresource] = permission.parts();
    // As the scenarios name them: what the simulated cluster has goes without its group.
    let resource = match (subresource, permission.resource) {
        ("", "pods.metrics.k8s.io") => permission.resource.to_owned(),
        ("", _) => plural.to_owned(),
        _ => format!("{plural}/{subresource}"),
    };
    let fault = json!({"verbs": [permission.verb], "resources": [resource], "gets": {"status": 403}});
    let simulated = Simulated::told(json!({"name": "x", "broken": "x", "faults": [{"api": fault}]}));
    let suite = if permission.verb == "delete" { "restarts" } else { "smoke" };
    let run = simulated.place().run(&["--suite", suite, "--allow-disruption"]);
    let doctor = simulated.place().run(&["doctor", "--suite", suite]);
    let context = format!("without {permission}:\n{}\n{}", run.all(), doctor.all());
    // Its version of Kubernetes asks for no other.
    let is_asked = permission.verb != "create";
    let is_needed = |case: &PlannedCase| {
        let mut its = Need::ALL.iter().filter(|need| case.check.needs(**need));
        is_asked && (ALWAYS.contains(&permission) || its.any(|need| need.permissions().contains(&permission)))
    };
    let cases = load(suite).unwrap().cases.into_iter().filter(is_needed);
    let needy: BTreeSet<String> = cases.map(|case| case.id.to_string()).collect();
    let needy: BTreeSet<&str> = needy.iter().map(String::as_str).collect();
    assert_eq!((run.with("FAIL"), run.with("ERROR")), (BTreeSet::new(), needy.clone()), "{context}");
    if ALWAYS.contains(&permission) {
        assert!(run.results.values().all(|(_, why)| why.contains("could not start")), "refused: {context}");
    }
    let is_named = |ended: &Ended| {
        let words = |line: &str| line.contains("no permission to") && line.contains(&permission.to_string());
        ended.all().lines().any(words)
    };
    let is_wanted = !needy.is_empty();
    assert_eq!((run.code, doctor.code), if is_wanted { (3, 3) } else { (0, 0) }, "{context}");
    assert_eq!((is_named(&run), is_named(&doctor)), (is_wanted, is_asked), "{context}");
}

/// A service account of the real cluster that has just docs/rbac.yaml, under names of its own, because others may test there
/// at the same time; it is removed when this is dropped.
struct Account {
    lab: Lab,
    objects: Value,
}

impl Account {
    fn new(name: &str) -> Self {
        let rbac = RBAC.replace("name: file-simulator-e2e", &format!("name: {name}"));
        let objects = serde_saphyr::from_multiple::<Value>(&rbac).unwrap();
        let account = Self { lab: Lab::find(), objects: json!({"apiVersion": "v1", "kind": "List", "items": objects}) };
        assert!(account.lab.tell("apply", &account.objects));
        account
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Also after a test that failed.
        let _ = self.lab.tell("delete", &self.objects);
    }
}

fn all_suites_are_green_with_just_the_role() {
    let name = format!("file-simulator-e2e-{:08x}", rand::random::<u32>());
    let Account { lab, .. } = &Account::new(&name);
    let view = lab.kubectl(&["config", "view", "--raw", "--minify", "-o", "json"]);
    let mut config: Value = serde_json::from_str(&view).unwrap();
    config["users"][0]["user"] = json!({"token": lab.kubectl(&["create", "token", &name]).trim()});
    let own = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&own, config.to_string()).unwrap();
    let place = Place::at(&Target { kubeconfig: Some(own.path().to_owned()), ..lab.target.clone() }, &lab.folder);
    let suites = load::BUILT_IN.iter().flat_map(|(name, _)| ["--suite", *name]);
    let arguments: Vec<&str> = suites.chain(["--allow-disruption", "--quiet"]).collect();
    place.says(&arguments, 0, &[]);
    place.says(&["doctor"], 0, &[]);
}
