//! Runs the program as a user would, in a folder of its own, and tells what came of it.

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

/// No run takes longer than this on a usual machine, whatever happens to it.
pub const LIMIT: Duration = Duration::from_secs(240);

/// A folder for a run of the program, with its reports, and the cluster that it is told of.
pub struct Place {
    folder: TempDir,
    cluster: Vec<OsString>,
}

impl Place {
    /// Without a cluster: kubeconfig and host folder are here, too, and the kubeconfig is not made yet.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, cluster: Vec::new() }
    }

    /// For this cluster, with this host folder.
    pub fn at(target: &Target, data: &Path) -> Self {
        let kubeconfig = target.kubeconfig.clone().unwrap().into_os_string();
        let options = ["--context".into(), target.context.clone().into(), "--kubeconfig".into(), kubeconfig];
        let data = ["--host-data".into(), data.as_os_str().to_owned()];
        Self { cluster: options.into_iter().chain(data).collect(), ..Self::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, ready to start. Of the environment it gets nothing but what the system needs.
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

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.finish(self.command(arguments))
    }

    /// Runs it, with what it says held to be this.
    pub fn says(&self, arguments: &[&str], code: i32, words: &[&str]) -> Ended {
        let ended = self.run(arguments);
        ended.says(code, words);
        ended
    }

    pub fn finish(&self, command: Command) -> Ended {
        self.start(command).end(LIMIT)
    }

    /// The same without the wait, with the tests that it should report.
    pub fn begin(&self, arguments: &[&str]) -> Running {
        let listed = self.listed(arguments);
        Running { listed, ..self.start(self.command(arguments)) }
    }

    /// A file with a built-in suite, some of whose limits are others.
    pub fn suite(&self, name: &str, replaced: &[(&str, &str)]) -> String {
        let file = format!("{name}.yaml");
        std::fs::write(self.path(&file), speed::suite(name, replaced)).unwrap();
        file
    }

    pub fn start(&self, mut command: Command) -> Running {
        let said = ["out", "err"].map(|name| self.path(name));
        let [out, err] = said.each_ref().map(|path| File::create(path).unwrap());
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
        Running { child, said, reports: self.path("reports"), started: Instant::now(), listed: Vec::new() }
    }

    pub fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let listed = self.run(&[arguments, &["--list"]].concat()).out;
        listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
    }

    /// Makes a kubeconfig with the context `file-simulator` of this cluster and this user.
    pub fn configure(&self, cluster: &Value, user: &Value) {
        let config = json!({"clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "file-simulator", "context": {"cluster": "c", "user": "u"}}]});
        std::fs::write(self.path("kubeconfig"), config.to_string()).unwrap();
    }

    /// The same for an address without TLS.
    pub fn connect(&self, address: &str) {
        self.configure(&json!({"server": format!("http://{address}")}), &json!({"token": "secret"}));
    }
}

pub struct Running {
    child: Child,
    said: [PathBuf; 2],
    reports: PathBuf,
    started: Instant,
    /// The tests that it should report, where that is of interest.
    pub listed: Vec<String>,
}

impl Running {
    /// Sends it a signal; it may have ended.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for something that it does, no longer than any run may take.
    pub fn wait_for(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        self.within(LIMIT, what, |_| holds());
    }

    /// Waits for its end, so long after its start at the most on a usual machine.
    pub fn end(mut self, limit: Duration) -> Ended {
        self.within(limit, "its end", Self::has_ended);
        let (code, took) = (self.child.wait().unwrap().code().unwrap_or(-1), self.started.elapsed());
        let [out, err] = self.said();
        Ended { code, out, err, results: junit::all(&self.reports), listed: self.listed, took }
    }

    fn within(&mut self, limit: Duration, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let limit = speed::scaled(limit);
        while !holds(self) {
            if self.started.elapsed() > limit {
                self.child.kill().unwrap();
                panic!("{what}: not within {limit:?}: {}", self.said().concat());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn said(&self) -> [String; 2] {
        self.said.each_ref().map(|path| std::fs::read_to_string(path).unwrap())
    }
}

pub struct Ended {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    pub out: String,
    pub err: String,
    pub results: Results,
    /// The tests that it should have reported.
    pub listed: Vec<String>,
    pub took: Duration,
}

impl Ended {
    pub fn all(&self) -> String {
        [self.out.as_str(), &self.err].concat()
    }

    /// Holds its exit code to this one, and looks for these words in what it printed.
    pub fn says(&self, code: i32, words: &[&str]) {
        let all = self.all();
        assert_eq!(self.code, code, "{all}");
        for word in words {
            assert!(all.contains(word), "no `{word}` in: {all}");
        }
        assert!(!all.contains("panicked"), "{all}");
    }

    pub fn with(&self, outcome: &str) -> BTreeSet<&str> {
        let its = self.results.iter().filter(|(_, (its, _))| *its == outcome);
        its.map(|(name, _)| name.as_str()).collect()
    }

    pub fn missing(&self) -> Vec<String> {
        let missing = self.listed.iter().filter(|name| !self.results.contains_key(*name));
        missing.map(|name| format!("{name}: missing")).collect()
    }
}
