//! Credential plugins: runs one as kubectl does, and ends it when nobody waits for it any more, as after Ctrl-C. Nothing that it
//! prints is told: it may hold a token. Imports `error`.

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

/// The most of what it prints that is read, in bytes; a certificate and its key are a hundredth of it.
const MOST: u64 = 1 << 20;
const BY_HAND: &str = "run it by hand to see what it says";

pub(super) struct Credential {
    pub(super) token: Option<HeaderValue>,
    /// A certificate and its key, as PEM.
    pub(super) identity: Option<[String; 2]>,
    pub(super) expires: Option<Timestamp>,
}

/// Runs the plugin to its end, however long somebody needs to log in.
pub(super) async fn run(exec: &ExecConfig, has_terminal: bool) -> Result<Credential, Refusal> {
    let name = exec.command.as_deref().unwrap_or_default();
    let refused = |what: &str, hint: &str| Refusal::start(format!("the credential plugin `{name}` {what}"), hint);
    let is_interactive = match exec.interactive_mode {
        Some(ExecInteractiveMode::Never) => false,
        Some(ExecInteractiveMode::Always) if !has_terminal => {
            let what = "asks somebody to log in (`interactiveMode: Always`), and standard input is no terminal";
            return Err(refused(what, "run this in a terminal, or choose a user that needs nobody"));
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
        // Where to log in, and with which code.
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let failed = |error: std::io::Error| {
        let hint = exec.install_hint.as_deref().unwrap_or_default();
        let hint = format!("install it, or repair `users[].user.exec` in the kubeconfig. {hint}");
        refused(&format!("cannot be run: {error}"), hint.trim_end())
    };
    let mut plugin = command.spawn().map_err(failed)?;
    let mut printed = Vec::new();
    if let Some(output) = plugin.stdout.take() {
        output.take(MOST).read_to_end(&mut printed).await.map_err(failed)?;
    }
    let status = plugin.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(refused(&format!("failed with {status}"), "log in with it, then run again"));
    }
    credential(&String::from_utf8_lossy(&printed)).map_err(|what| refused(what, BY_HAND))
}

/// What an `ExecCredential` holds, or what is wrong with it.
fn credential(printed: &str) -> Result<Credential, &'static str> {
    let none = "printed no ExecCredential with a token, or a certificate and its key, in its status";
    // As for kubectl, it may be YAML.
    let parsed = serde_json::from_str(printed).ok().or_else(|| serde_saphyr::from_str(printed).ok());
    let printed: Value = parsed.ok_or(none)?;
    let text = |key: &str| printed["status"][key].as_str().filter(|text| !text.is_empty());
    let no_header = "printed a token with a line break or another character that no HTTP header may have";
    let token = text("token").map(|token| token::header(token).ok_or(no_header)).transpose()?;
    let identity = text("clientCertificateData").zip(text("clientKeyData"));
    let identity = identity.map(|(certificate, key)| [certificate.to_owned(), key.to_owned()]);
    if token.is_none() && identity.is_none() {
        return Err(none);
    }
    let expires = text("expirationTimestamp").map(str::parse).transpose();
    Ok(Credential {
        token,
        identity,
        expires: expires.map_err(|_| "printed an `expirationTimestamp` that is no time")?,
    })
}

/// The file of a command. On Windows its extension may be left out; elsewhere the system finds it.
fn file(command: &str) -> PathBuf {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let extensions = set("PATHEXT").unwrap_or_else(|| ".com;.exe;.bat;.cmd".to_owned());
    let found = || by_extension(command, &env::var_os("PATH").unwrap_or_default(), &extensions);
    cfg!(windows).then(found).flatten().unwrap_or_else(|| command.into())
}

/// The first file with that name, or with one of these extensions behind it, in the folders of a path.
fn by_extension(command: &str, path: &OsStr, extensions: &str) -> Option<PathBuf> {
    let itself = Path::new(command).extension().map(|_| command.to_owned());
    let extensions = extensions.split(';').map(|extension| extension.trim_start_matches('.'));
    let longer = extensions.filter(|extension| !extension.is_empty()).map(|extension| format!("{command}.{extension}"));
    let names: Vec<String> = itself.into_iter().chain(longer).collect();
    let folders = if command.contains(['/', '\\']) {
        vec![PathBuf::new()]
    } else {
        // As for kubectl, nothing is run because of the folder that somebody is in.
        env::split_paths(path).filter(|folder| folder.is_absolute()).collect()
    };
    let mut files = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    files.find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_its_extension_is_found_in_the_folders_of_the_path() {
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
    fn what_a_plugin_printed_is_read_or_told_without_it() {
        let read = |status: &str| credential(&format!("{{\"kind\": \"ExecCredential\", \"status\": {status}}}"));
        let both = r#"{"token": "t", "clientCertificateData": "c", "clientKeyData": "k", "expirationTimestamp": "2026-11-28T12:00:00+01:00"}"#;
        let both = read(both).ok().unwrap();
        assert_eq!(both.token.unwrap(), "Bearer t");
        assert_eq!(both.identity.unwrap(), ["c", "k"]);
        assert_eq!(both.expires.unwrap().to_string(), "2026-11-28T11:00:00Z");
        for (status, said) in [
            (r#"{"token": "", "clientKeyData": "secret"}"#, "no ExecCredential"),
            (r#"{"token": "t", "expirationTimestamp": "soon"}"#, "that is no time"),
        ] {
            assert!(read(status).err().unwrap().contains(said), "{status}");
        }
    }
}
