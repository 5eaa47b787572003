//! Runs the program as a user does, in a temporary folder, and reads its results.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use file_simulator_e2e::cluster::Target;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::junit::{self, Results};
use super::speed;

/// On a usual machine.
pub const LIMIT: Duration = Duration::from_secs(240);

/// A temporary working folder for runs of the program, and their cluster.
pub struct Workspace {
    folder: TempDir,
    cluster: Vec<OsString>,
}

impl Workspace {
    /// Without a cluster.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, cluster: Vec::new() }
    }

    pub fn at(target: &Target, data: &Path) -> Self {
        let kubeconfig = target.kubeconfig.clone().unwrap().into_os_string();
        let options = ["--context".into(), target.context.clone().into(), "--kubeconfig".into(), kubeconfig];
        let data = ["--host-data".into(), data.as_os_str().to_owned()];
        Self { cluster: options.into_iter().chain(data).collect(), ..Self::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, with only the environment that the system needs.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
        command
            .args(arguments)
            .args(&self.cluster)
            .env_clear()
            .envs(["PATH", "SystemRoot"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("FILE_SIMULATOR_HOST_DATA", self.path("data"))
            .env("FILE_SIMULATOR_REPORT_DIR", self.path("reports"))
            .current_dir(self.folder.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> RunResult {
        self.finish(self.command(arguments))
    }

    pub fn expect(&self, arguments: &[&str], code: i32, words: &[&str]) -> RunResult {
        let ended = self.run(arguments);
        ended.expect(code, words);
        ended
    }

    pub fn finish(&self, command: Command) -> RunResult {
        self.start(command).end(LIMIT)
    }

    /// Starts the program after listing its tests.
    pub fn begin(&self, arguments: &[&str]) -> Running {
        let listed = self.listed(arguments);
        Running { listed, ..self.start(self.command(arguments)) }
    }

    /// Writes a built-in suite with other limits; returns the file's name.
    pub fn suite(&self, name: &str, replaced: &[(&str, &str)]) -> String {
        let file = format!("{name}.yaml");
        std::fs::write(self.path(&file), speed::suite(name, replaced)).unwrap();
        file
    }

    pub fn start(&self, mut command: Command) -> Running {
        let outputs = ["out", "err"].map(|name| self.path(name));
        let [out, err] = outputs.each_ref().map(|path| File::create(path).unwrap());
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        Running { child, outputs, reports: self.path("reports"), started: Instant::now(), listed: Vec::new() }
    }

    pub fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let listed = self.run(&[arguments, &["--list"]].concat()).out;
        listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
    }

    /// Writes a kubeconfig whose context `file-simulator` has this cluster and user.
    pub fn configure(&self, cluster: &Value, user: &Value) {
        let config = json!({"clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "file-simulator", "context": {"cluster": "c", "user": "u"}}]});
        std::fs::write(self.path("kubeconfig"), config.to_string()).unwrap();
    }

    /// Writes a kubeconfig for a server without TLS.
    pub fn connect(&self, address: &str) {
        self.configure(&json!({"server": format!("http://{address}")}), &json!({"token": "secret"}));
    }
}

pub struct Running {
    child: Child,
    outputs: [PathBuf; 2],
    reports: PathBuf,
    started: Instant,
    /// The expected tests; empty unless started with [`Workspace::begin`].
    pub listed: Vec<String>,
}

impl Running {
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn wait_for(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        self.within(LIMIT, what, |_| holds());
    }

    /// Waits for its exit, at most this long after its start on a usual machine.
    pub fn end(mut self, limit: Duration) -> RunResult {
        self.within(limit, "the program's exit", Self::has_ended);
        let (code, elapsed) = (self.child.wait().unwrap().code().unwrap_or(-1), self.started.elapsed());
        let [out, err] = self.output();
        RunResult { code, out, err, results: junit::all(&self.reports), listed: self.listed, elapsed }
    }

    fn within(&mut self, limit: Duration, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let limit = speed::scaled(limit);
        while !holds(self) {
            if self.started.elapsed() > limit {
                self.child.kill().unwrap();
                panic!("{what}: not within {limit:?}: {}", self.output().concat());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn output(&self) -> [String; 2] {
        self.outputs.each_ref().map(|path| std::fs::read_to_string(path).unwrap())
    }
}

pub struct RunResult {
    /// The exit code; -1 after a signal.
    pub code: i32,
    pub out: String,
    pub err: String,
    pub results: Results,
    pub listed: Vec<String>,
    pub elapsed: Duration,
}

impl RunResult {
    pub fn all(&self) -> String {
        [self.out.as_str(), &self.err].concat()
    }

    /// Checks the exit code, and that the output contains these phrases.
    pub fn expect(&self, code: i32, words: &[&str]) {
        let all = self.all();
        assert_eq!(self.code, code, "{all}");
        for word in words {
            assert!(all.contains(word), "no `{word}` in: {all}");
        }
        assert!(!all.contains("panicked"), "{all}");
    }

    pub fn with(&self, outcome: &str) -> BTreeSet<&str> {
        self.results.iter().filter(|(_, (seen, _))| *seen == outcome).map(|(name, _)| name.as_str()).collect()
    }

    pub fn missing(&self) -> Vec<String> {
        let missing = self.listed.iter().filter(|name| !self.results.contains_key(*name));
        missing.map(|name| format!("{name}: missing")).collect()
    }
}
