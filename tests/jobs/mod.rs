//! The CI jobs in docs/ci work when copied: runs their shell steps unchanged on the real cluster.
//!
//! Sets only their variables, and replaces tools of hosted runners with `stand-in`: `cargo`, which installs this build of the
//! program, `kind`, `sudo`, and `getent`, which finds the container of docker:dind.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::support::test_cluster::{TestCluster, output, scripted};
use crate::support::workspace::Workspace;
use crate::support::{junit, root};

pub fn tests() -> Vec<Trial> {
    trials!("jobs::real": github, gitlab, azure)
}

/// The chart's hostPath.
const MOUNTED: &str = "/mnt/simulator-data";
/// For runners without root: the kubelet creates the servers' folders as root.
const CHOWN: &str = "sudo chown -R 0 /mnt/simulator-data\n";
const STAND_INS: [&str; 4] = ["cargo", "getent", "kind", "sudo"];

struct Job {
    variables: Value,
    cache_key: Value,
    /// The options of the shell that runs each step.
    shell: &'static [&'static str],
    steps: Vec<String>,
    junit: Value,
    artifact: Value,
}

fn file(name: &str) -> Value {
    let text = std::fs::read_to_string(root("docs/ci").join(name)).unwrap();
    assert!(text.lines().count() <= 50, "{name} is longer than 50 lines");
    serde_saphyr::from_str(&text).unwrap()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The step whose `key` starts with this text.
fn step<'a>(steps: &'a Value, key: &str, text: &str) -> &'a Value {
    list(steps).find(|step| step[key].as_str().is_some_and(|value| value.starts_with(text))).unwrap()
}

fn scripts(steps: &Value, key: &str) -> Vec<String> {
    list(steps).filter_map(|step| Some(step[key].as_str()?.to_owned())).collect()
}

fn github() {
    let file = file("github.yml");
    let steps = &file["jobs"]["e2e"]["steps"];
    let [restored, published, kept] =
        ["actions/cache/restore", "mikepenz/", "actions/upload-artifact"].map(|uses| step(steps, "uses", uses));
    assert_eq!([&published["if"], &kept["if"]], ["${{ always() }}"; 2]);
    let job = Job {
        variables: file["env"].clone(),
        cache_key: restored["with"]["key"].clone(),
        shell: &["-e"],
        steps: scripts(steps, "run"),
        junit: published["with"]["report_paths"].clone(),
        artifact: kept["with"]["path"].clone(),
    };
    // All suites; the other jobs run only one.
    let calls = judge(&job, "", &[("HOST_DATA", MOUNTED)]);
    assert!(calls.contains(CHOWN), "{calls}");
}

fn gitlab() {
    let file = file("gitlab.yml");
    let (job, artifacts) = (&file["e2e"], &file["e2e"]["artifacts"]);
    assert_eq!((&artifacts["when"], &job["cache"]["when"]), (&json!("always"), &json!("always")));
    let lines: Vec<&str> = list(&job["script"]).map(|line| line.as_str().unwrap()).collect();
    let job = Job {
        variables: file["variables"].clone(),
        cache_key: job["cache"]["key"].clone(),
        shell: &["-eo", "pipefail"],
        steps: vec![lines.join("\n")],
        junit: artifacts["reports"]["junit"].clone(),
        artifact: artifacts["paths"][0].clone(),
    };
    judge(&job, "--suite smoke", &[("HOST_DATA", MOUNTED), ("E2E_ROOT", "e2e")]);
}

fn azure() {
    let file = file("azure.yml");
    let [build, e2e] = [0, 1].map(|index| &file["jobs"][index]["steps"]);
    let (published, kept) = (step(e2e, "task", "PublishTestResults@2"), step(e2e, "publish", ""));
    assert_eq!([&published["condition"], &kept["condition"]], ["always()"; 2]);
    let [saved, restored] = [build, e2e].map(|steps| &step(steps, "task", "Cache@2")["inputs"]);
    assert_eq!([&saved["key"], &saved["path"]], [&restored["key"], &restored["path"]]);
    let job = Job {
        variables: file["variables"].clone(),
        cache_key: saved["key"].clone(),
        shell: &[],
        steps: [build, e2e].map(|steps| scripts(steps, "bash")).concat(),
        junit: published["inputs"]["testResultsFiles"].clone(),
        artifact: kept["publish"].clone(),
    };
    let calls = judge(&job, "--suite smoke", &[("HOST_DATA", MOUNTED), ("E2E_ROOT", "e2e")]);
    assert!(calls.contains(CHOWN), "{calls}");
}

/// Runs the job with passing and with failing tests: it has the run's exit code, and JUnit files and artifact exist either way.
/// Returns the calls of the tools.
fn judge(job: &Job, options: &str, variables: &[(&str, &str)]) -> String {
    assert!(job.cache_key.as_str().unwrap().contains("E2E_REF"), "the cache key lacks the ref: {}", job.cache_key);
    let (cluster, workspace) = (TestCluster::find(), Workspace::new());
    std::fs::create_dir(workspace.path("charts")).unwrap();
    symlink(root("fixtures/helm-chart/file-simulator"), workspace.path("charts/file-simulator")).unwrap();
    let values = |name: &str, changes: &[(&str, Value)]| {
        let text = std::fs::read_to_string(root("fixtures/helm-chart/file-simulator/values-multi-nas.yaml")).unwrap();
        let mut values: Value = serde_saphyr::from_str(&text).unwrap();
        for (path, value) in changes {
            *values.pointer_mut(path).unwrap() = value.clone();
        }
        std::fs::write(workspace.path(name), values.to_string()).unwrap();
    };
    values("values.yaml", &[("/global", json!({"sidecar": {"syncInterval": 5}}))]);
    values("others.yaml", &[("/nasServers/0/service/nodePort", json!(32_199))]);
    let common = [&[("VALUES", "values.yaml"), ("E2E_OPTIONS", options)], variables].concat();
    let red = [("E2E_OPTIONS", "--suite smoke"), ("FILE_SIMULATOR_VALUES", "others.yaml")];
    for (code, more) in [(0, &[][..]), (1, &red)] {
        let (status, output) = run(job, &cluster, &workspace, &[&common, more].concat());
        assert_eq!(status, code, "{output}");
        let published = workspace.path(job.junit.as_str().unwrap().trim_end_matches("/*.xml"));
        let results = junit::all(&published);
        let failed = results.values().filter(|(outcome, _)| *outcome == "FAIL").count();
        assert_eq!((results.is_empty(), failed > 0), (false, code == 1), "{results:?}");
        let kept = workspace.path(job.artifact.as_str().unwrap());
        let report: Value = serde_json::from_slice(&std::fs::read(kept.join("smoke.json")).unwrap()).unwrap();
        assert!(kept.join("index.html").is_file() && report["exit_code"] == code, "{}", report["exit_code"]);
        std::fs::remove_dir_all(kept).unwrap();
    }
    check_calls(job, &workspace)
}

/// Checks that the tools were called with the variables' values; returns the calls.
fn check_calls(job: &Job, workspace: &Workspace) -> String {
    let calls = std::fs::read_to_string(workspace.path("calls")).unwrap();
    let [repository, commit] = ["E2E_REPOSITORY", "E2E_REF"].map(|name| job.variables[name].as_str().unwrap());
    let install = format!("cargo install --locked --git {repository} --rev {commit} --root ");
    let create = "kind create cluster --name file-simulator --wait 2m --config -\n";
    assert!(calls.contains(&install) && calls.contains(create), "{calls}");
    let kind: Value = serde_saphyr::from_str(&std::fs::read_to_string(workspace.path("calls.kind")).unwrap()).unwrap();
    let mount = json!([{"hostPath": MOUNTED, "containerPath": MOUNTED}]);
    assert_eq!((&kind["kind"], &kind["nodes"][0]["extraMounts"]), (&json!("Cluster"), &mount));
    calls
}

/// Runs the steps until one fails; returns the last exit code and the output.
fn run(job: &Job, cluster: &TestCluster, workspace: &Workspace, variables: &[(&str, &str)]) -> (i32, String) {
    let tools = workspace.path("tools");
    std::fs::create_dir_all(&tools).unwrap();
    for name in STAND_INS {
        let _ = symlink(root("tests/jobs/stand-in"), tools.join(name));
    }
    let known = output(&mut scripted(r#"printf '%s\n' "$PATH" "$NODE_IP""#));
    let [path, node] = known.lines().collect::<Vec<_>>()[..] else { panic!("{known}") };
    let home = workspace.path("");
    let mut printed = String::new();
    let mut status = 0;
    for step in &job.steps {
        let mut command = Command::new("bash");
        command.args(job.shell).args(["-c", &format!("exec 2>&1\n{step}")]).current_dir(&home).env_clear();
        let own = job.variables.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
        command.envs(own).envs(variables.iter().copied()).env("PATH", format!("{}:{path}", tools.display()));
        let paths: [(&str, &Path); 5] = [
            ("HOME", &home),
            ("KUBECONFIG", &workspace.path("kubeconfig")),
            ("CLUSTER", cluster.kubeconfig()),
            ("CALLS", &workspace.path("calls")),
            ("PROGRAM", Path::new(env!("CARGO_BIN_EXE_file-simulator-e2e"))),
        ];
        let ended = command.envs(paths).env("NODE", node).stdin(Stdio::null()).output().unwrap();
        printed.push_str(&String::from_utf8_lossy(&ended.stdout));
        status = ended.status.code().unwrap();
        if status != 0 {
            break;
        }
    }
    (status, printed)
}
