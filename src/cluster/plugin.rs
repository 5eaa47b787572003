//! Credential plugins: runs one as kubectl does, and ends it when nobody waits for it any more, as after Ctrl-C. Nothing that it
//! prints is told: it may hold a token. Imports `error`.

use std::io::ErrorKind;
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
    let start = |extension: &str| {
        Command::new(format!("{name}{extension}"))
            .args(exec.args.iter().flatten())
            .envs(variables.clone().filter_map(|variable| Some((variable.get("name")?, variable.get("value")?))))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(if is_interactive { Stdio::inherit() } else { Stdio::null() })
            .stdout(Stdio::piped())
            // Where to log in, and with which code.
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
    };
    // Windows itself finds programs without their extension, and no scripts.
    let scripts = if cfg!(windows) { &[".cmd", ".bat"][..] } else { &[] };
    let started = scripts.iter().fold(start(""), |started, extension| match started {
        Err(error) if error.kind() == ErrorKind::NotFound => start(extension),
        started => started,
    });
    let failed = |error: std::io::Error| {
        let hint = exec.install_hint.as_deref().unwrap_or_default();
        let hint = format!("install it, or repair `users[].user.exec` in the kubeconfig. {hint}");
        refused(&format!("cannot be run: {error}"), hint.trim_end())
    };
    let mut plugin = started.map_err(failed)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_printed_is_read_or_told_without_it() {
        let read = |status: &str| credential(&format!("{{\"kind\": \"ExecCredential\", \"status\": {status}}}"));
        let yaml =
            credential("status:\n  token: t\n  expirationTimestamp: '2026-11-28T12:00:00+01:00'\n").ok().unwrap();
        assert_eq!(yaml.token.unwrap(), "Bearer t");
        assert_eq!(yaml.expires.unwrap().to_string(), "2026-11-28T11:00:00Z");
        for (status, said) in [
            (r#"{"token": "", "clientKeyData": "secret"}"#, "no ExecCredential"),
            (r#"{"token": "t", "expirationTimestamp": "soon"}"#, "that is no time"),
        ] {
            assert!(read(status).err().unwrap().contains(said), "{status}");
        }
    }
}
