//! What the black-box tests share: the program, and an API server of canned answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder for one run of the program: kubeconfig, tester's folder, reports.
pub struct Place {
    folder: TempDir,
}

/// What the program did.
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Place {
    /// An empty place.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program with its kubeconfig, folder and reports here, unless `arguments` say otherwise.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().unwrap();
        Ended::new(&output)
    }

    /// The program, ready to start.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_file-simulator-e2e"));
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::var("PATH").map(|path| ("PATH", path)))
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("FILE_SIMULATOR_HOST_DATA", self.path("data"))
            .env("FILE_SIMULATOR_REPORT_DIR", self.path("reports"))
            .current_dir(self.folder.path());
        command
    }

    /// Makes a kubeconfig with the context `file-simulator` for that address.
    pub fn connect(&self, address: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\n\
             users: [{{name: u, user: {{token: secret}}}}]\n\
             contexts: [{{name: file-simulator, context: {{cluster: c, user: u}}}}]\n"
        );
        std::fs::write(self.path("kubeconfig"), text).unwrap();
    }

    /// The JUnit report of a suite.
    pub fn report(&self, suite: &str) -> String {
        std::fs::read_to_string(self.path(&format!("reports/{suite}.xml"))).unwrap()
    }
}

impl Ended {
    /// What a finished process said.
    pub fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Compares with a file of this repository, or with `GOLDEN=write` in the environment renews it.
pub fn golden(file: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let actual = actual.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("GOLDEN").is_some_and(|wish| wish == "write") {
        return std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let number = expected.lines().zip(actual.lines()).take_while(|(one, other)| one == other).count();
    let [expected_line, line] = [&expected, &actual].map(|text| text.lines().nth(number).unwrap_or_default());
    assert!(
        expected == actual,
        "{file}:{}: expected\n{expected_line}\nseen\n{line}\nif that is right, renew it with GOLDEN=write cargo test --test offline",
        number + 1
    );
}

/// Answers each request by its path with a status and a JSON body, until the test ends; returns its address.
pub fn answering(answer: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static) -> String {
    serve(move |stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let first = lines.next().unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        let (status, body) = answer(&path);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Canned\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes())
    })
}

/// Accepts connections and never answers; returns its address.
pub fn silent() -> String {
    serve(|stream| {
        // Until the peer gives up.
        std::io::copy(stream, &mut std::io::sink()).map(drop)
    })
}

fn serve(each: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let each = std::sync::Arc::new(each);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let each = std::sync::Arc::clone(&each);
            std::thread::spawn(move || each(&mut stream));
        }
    });
    address
}

/// What `/version` says.
pub const VERSION: &str = r#"{"major":"1","minor":"34","gitVersion":"v1.34.4","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
