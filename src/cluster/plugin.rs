//! Logging in: kube runs the kubeconfig's credential plugin when a client is made, for as long as that takes. Here it is
//! bounded, ended with every process that it started and that still runs, and its errors are said without its output, which may hold a token.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use kube::client::AuthError;
use kube::{Client, Config, Error};
use sysinfo::{Pid, Process, ProcessRefreshKind, RefreshKind, System, UpdateKind};

use super::ApiError;
use crate::error::Refusal;

/// How long a plugin may take: somebody may have to log in with a browser.
const LOGIN: Duration = Duration::from_secs(60);

/// Makes a client.
///
/// # Errors
/// A refusal with exit code 3.
pub(super) async fn log_in(config: Config) -> Result<Client, Refusal> {
    log_in_within(config, LOGIN).await
}

async fn log_in_within(config: Config, limit: Duration) -> Result<Client, Refusal> {
    let exec = config.auth_info.exec.as_ref();
    let plugin = exec.and_then(|exec| exec.command.clone()).map(Plugin);
    let hint = exec.and_then(|exec| exec.install_hint.clone()).unwrap_or_default();
    let client = tokio::time::timeout(limit, tokio::task::spawn_blocking(|| Client::try_from(config))).await;
    let name = plugin.as_ref().map(|plugin| plugin.0.clone()).unwrap_or_default();
    let has_plugin = plugin.is_some();
    if client.is_ok() {
        // It has ended by itself.
        std::mem::forget(plugin);
    }
    let refused = |what: String, hint: &str| Refusal::start(format!("the credential plugin `{name}` {what}"), hint);
    match client {
        Ok(Ok(Ok(client))) => Ok(client),
        Ok(Ok(Err(Error::Auth(error)))) if has_plugin => Err(match error {
            AuthError::AuthExecStart(error) => {
                let hint = format!("install it, or repair `users[].user.exec` in the kubeconfig. {hint}");
                refused(format!("cannot be run: {error}"), hint.trim_end())
            }
            AuthError::AuthExecRun { out, .. } => {
                let said = String::from_utf8_lossy(&out.stderr);
                let said = said.trim().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
                refused(format!("failed with {}{said}", out.status), "log in with it, then run again")
            }
            AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
                refused("printed no ExecCredential with a status".to_owned(), "run it by hand to see what it says")
            }
            error => refused(format!("failed: {error}"), "run it by hand to see what it says"),
        }),
        Ok(Ok(Err(error))) => {
            let error = ApiError::new("connect to", "cluster", error);
            Err(Refusal::start(error.to_string(), error.hint()))
        }
        Ok(Err(error)) => Err(Refusal::start(format!("cannot make a client: {error}"), "")),
        Err(_) => Err(refused(
            format!("did not end within {}s", limit.as_secs_f64()),
            "run it by hand to see what it waits for, such as a login in a browser; then run again",
        )),
    }
}

/// A plugin that may still run: ended when dropped, also because the user has pressed Ctrl-C.
struct Plugin(String);

impl Drop for Plugin {
    fn drop(&mut self) {
        end_children(&self.0);
    }
}

/// Ends those children of this process that run the command, and what they have started.
fn end_children(command: &str) {
    let kind = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always).without_tasks();
    let system = System::new_with_specifics(RefreshKind::nothing().with_processes(kind));
    let all = system.processes();
    // One without a path was looked for in PATH.
    let is_it = |word: &OsString| word == command || Path::new(word).file_name().is_some_and(|its| its == command);
    // On Windows a number may have been that of another process before.
    let is_child =
        |of: &Process, child: &Process| child.parent() == Some(of.pid()) && child.start_time() >= of.start_time();
    let Some(own) = all.get(&Pid::from_u32(std::process::id())) else { return };
    let plugin = |process: &&Process| is_child(own, process) && process.cmd().iter().any(is_it);
    let mut doomed: Vec<&Process> = all.values().filter(plugin).collect();
    let mut next = 0;
    while let Some(parent) = doomed.get(next).copied() {
        let is_new = |child: &&Process| !doomed.iter().any(|known| known.pid() == child.pid());
        let children: Vec<_> = all.values().filter(is_new).filter(|child| is_child(parent, child)).collect();
        doomed.extend(children);
        next += 1;
    }
    for process in doomed {
        // One that has ended meanwhile is what was wanted.
        process.kill();
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use kube::config::ExecConfig;

    use super::*;

    /// A plugin that is this script; what the program says of it, and the folder it is in.
    async fn refusal(script: Option<&str>, limit: Duration) -> (Refusal, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some-login");
        if let Some(script) = script {
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let exec = serde_json::json!({"apiVersion": "client.authentication.k8s.io/v1", "command": path,
            "interactiveMode": "Never", "installHint": "ask your admin"});
        let mut config = Config::new("http://127.0.0.1:1".parse().unwrap());
        config.auth_info.exec = Some(serde_json::from_value::<ExecConfig>(exec).unwrap());
        (log_in_within(config, limit).await.err().unwrap(), folder)
    }

    #[tokio::test]
    async fn a_plugin_that_hangs_is_ended_with_what_it_started() {
        let script = "echo $$ >\"${0%/*}/pids\"; sleep 600 & echo $! >>\"${0%/*}/pids\"; wait";
        let (refusal, folder) = refusal(Some(script), Duration::from_secs(2)).await;
        assert!(refusal.what.contains("some-login` did not end within 2s"), "{refusal}");
        let pids = std::fs::read_to_string(folder.path().join("pids")).unwrap();
        assert_eq!(pids.lines().count(), 2, "{pids}");
        for pid in pids.lines() {
            let state = || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next().unwrap_or('?'))
            };
            let limit = std::time::Instant::now() + Duration::from_secs(10);
            while !matches!(state(), None | Some('Z')) {
                assert!(std::time::Instant::now() < limit, "process {pid} still runs");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_plugin_is_said_and_its_output_is_not() {
        let limit = Duration::from_secs(30);
        for (script, said) in [
            (None, "cannot be run: No such file"),
            (Some("echo secret; echo 'log in first' >&2; exit 3"), "failed with exit status: 3: log in first"),
            (Some("echo 'token: secret'"), "printed no ExecCredential"),
            (Some("echo '{\"token\": \"secret'"), "printed no ExecCredential"),
        ] {
            let (refusal, _folder) = refusal(script, limit).await;
            assert!(refusal.what.contains(said) && !refusal.to_string().contains("secret"), "{refusal}");
            assert_eq!(script.is_none(), refusal.hint.contains("ask your admin"), "{refusal}");
        }
    }
}
