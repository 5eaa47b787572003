//! Runs credential plugins like kubectl, and kills a running one when the call is cancelled, as by Ctrl-C. Never shows a
//! plugin's output: it may contain a token.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::token;
use crate::error::Refusal;

/// The maximum output in bytes, about a hundred certificates with keys.
const MAX_OUTPUT: u64 = 1 << 20;

pub(super) struct Credential {
    pub(super) token: Option<HeaderValue>,
    /// A certificate and its key, as PEM.
    pub(super) identity: Option<[String; 2]>,
    pub(super) expires: Option<Timestamp>,
}

/// Runs the plugin to its end, without a deadline: the user may have to log in.
pub(super) async fn run(exec: &ExecConfig, has_terminal: bool) -> Result<Credential, Refusal> {
    let name = exec.command.as_deref().unwrap_or_default();
    let refused = |problem: &str, hint: &str| Refusal::start(format!("credential plugin `{name}` {problem}"), hint);
    let is_interactive = match exec.interactive_mode {
        Some(ExecInteractiveMode::Never) => false,
        Some(ExecInteractiveMode::Always) if !has_terminal => {
            let problem =
                "requires an interactive login (`interactiveMode: Always`), but standard input is not a terminal";
            return Err(refused(problem, "run this in a terminal, or choose a user that needs no interactive login"));
        }
        _ => has_terminal,
    };
    let mut spec = json!({ "interactive": is_interactive });
    if let Some(cluster) = &exec.cluster {
        spec["cluster"] = json!(cluster);
    }
    let info = json!({"kind": "ExecCredential", "apiVersion": exec.api_version, "spec": spec});
    let variables = exec.env.iter().flatten();
    let mut command = Command::new(file(name));
    command
        .args(exec.args.iter().flatten())
        .envs(variables.filter_map(|variable| Some((variable.get("name")?, variable.get("value")?))))
        .env("KUBERNETES_EXEC_INFO", info.to_string())
        .stdin(if is_interactive { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        // Shows the user where to log in, and with which code.
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let failed = |error: std::io::Error| {
        let hint = exec.install_hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        let hint = format!("install it, or fix `users[].user.exec` in the kubeconfig{hint}");
        refused(&format!("cannot be run: {error}"), hint.trim_end())
    };
    let mut plugin = command.spawn().map_err(failed)?;
    let mut printed = Vec::new();
    if let Some(output) = plugin.stdout.take() {
        output.take(MAX_OUTPUT).read_to_end(&mut printed).await.map_err(failed)?;
    }
    let status = plugin.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(refused(&format!("failed with {status}"), "log in with it, then run again"));
    }
    let credential = credential(&String::from_utf8_lossy(&printed));
    credential.map_err(|problem| refused(problem, "run it manually to see its output"))
}

fn credential(printed: &str) -> Result<Credential, &'static str> {
    let none = "printed no ExecCredential whose status has a token, or a certificate and its key";
    // Like kubectl: accept YAML.
    let parsed = serde_json::from_str(printed).ok().or_else(|| serde_saphyr::from_str(printed).ok());
    let printed: Value = parsed.ok_or(none)?;
    let text = |key: &str| printed["status"][key].as_str().filter(|text| !text.is_empty());
    let invalid = "printed a token with a line break or another character that is not allowed in an HTTP header";
    let token = text("token").map(|token| token::header(token).ok_or(invalid)).transpose()?;
    let identity = text("clientCertificateData").zip(text("clientKeyData"));
    let identity = identity.map(|(certificate, key)| [certificate.to_owned(), key.to_owned()]);
    if token.is_none() && identity.is_none() {
        return Err(none);
    }
    let expires = text("expirationTimestamp").map(str::parse).transpose();
    Ok(Credential {
        token,
        identity,
        expires: expires.map_err(|_| "printed an `expirationTimestamp` that is not a timestamp")?,
    })
}

/// The executable of a command: on Windows, its extension may be omitted; elsewhere, the system searches the path.
fn file(command: &str) -> PathBuf {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let extensions = set("PATHEXT").unwrap_or_else(|| ".com;.exe;.bat;.cmd".to_owned());
    let found = || by_extension(command, &env::var_os("PATH").unwrap_or_default(), &extensions);
    cfg!(windows).then(found).flatten().unwrap_or_else(|| command.into())
}

/// The first file with this name, or with one of the extensions appended, in the folders of a path.
fn by_extension(command: &str, path: &OsStr, extensions: &str) -> Option<PathBuf> {
    let itself = Path::new(command).extension().map(|_| command.to_owned());
    let extensions = extensions.split(';').map(|extension| extension.trim_start_matches('.'));
    let longer = extensions.filter(|extension| !extension.is_empty()).map(|extension| format!("{command}.{extension}"));
    let names: Vec<String> = itself.into_iter().chain(longer).collect();
    let folders = if command.contains(['/', '\\']) {
        vec![PathBuf::new()]
    } else {
        // Like kubectl: never run a file because it is in the current folder.
        env::split_paths(path).filter(|folder| folder.is_absolute()).collect()
    };
    let mut files = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    files.find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_its_extension_is_found_in_the_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/login.cmd", "b/login.exe", "b/login", "b/x.y.exe", "b/z.cmd"] {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let path = env::join_paths([Path::new("b"), &folder.path().join("a"), &folder.path().join("b")]).unwrap();
        let direct = folder.path().join("a/login").display().to_string();
        for (command, found) in [
            ("login", Some("a/login.cmd")),
            ("login.exe", Some("b/login.exe")),
            ("x.y", Some("b/x.y.exe")),
            ("z.cmd", Some("b/z.cmd")),
            (&direct, Some("a/login.cmd")),
            ("none", None),
        ] {
            let expected = found.map(|name| folder.path().join(name));
            assert_eq!(by_extension(command, &path, ".COM;.exe;;cmd"), expected, "{command}");
        }
    }

    #[test]
    fn an_invalid_credential_is_reported_without_its_content() {
        let read = |status: &str| credential(&format!("{{\"kind\": \"ExecCredential\", \"status\": {status}}}"));
        let both = r#"{"token": "t", "clientCertificateData": "c", "clientKeyData": "k", "expirationTimestamp": "2026-11-28T12:00:00+01:00"}"#;
        let both = read(both).ok().unwrap();
        assert_eq!(both.token.unwrap(), "Bearer t");
        assert_eq!(both.identity.unwrap(), ["c", "k"]);
        assert_eq!(both.expires.unwrap().to_string(), "2026-11-28T11:00:00Z");
        for (status, problem) in [
            (r#"{"token": "", "clientKeyData": "secret"}"#, "no ExecCredential"),
            (r#"{"token": "t", "expirationTimestamp": "soon"}"#, "not a timestamp"),
        ] {
            assert!(read(status).err().unwrap().contains(problem), "{status}");
        }
    }
}
