//! Clients that are logged in: with what the kubeconfig has, or with what a file or a credential plugin has, before that expires.
//! Imports `error`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use kube::client::Body;
use kube::config::ExecConfig;
use kube::{Client, Config};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::plugin::{self, Credential};
use super::token;
use crate::cluster::api_error::ApiError;
use crate::error::Refusal;

/// So long before a credential expires another one is asked for: somebody may have to log in.
const EARLY: Duration = Duration::from_secs(60);
/// A token in a file is read anew after this time, as by kubectl.
const FRESH: Duration = Duration::from_secs(60);
const LEAST: Duration = Duration::from_secs(1);
/// The pause after an attempt that failed; and how late it is noticed that the machine has slept meanwhile.
const STEP: Duration = Duration::from_secs(10);

const TLS: &str = "look at the certificates and the key of the kubeconfig's user; without a `certificate-authority` in its cluster, at \
                   this system's store of them, too";

/// What has another credential when one expires.
enum Source {
    File(PathBuf),
    Plugin(Box<ExecConfig>),
}

impl Source {
    /// Another credential; `None` where that fails, which a plugin has said itself.
    async fn renew(&self, has_terminal: bool) -> Option<Credential> {
        match self {
            Self::File(path) => token::read(path).ok().and_then(|token| token::header(&token)).map(of_file),
            Self::Plugin(exec) => plugin::run(exec, has_terminal).await.ok(),
        }
    }
}

fn of_file(token: HeaderValue) -> Credential {
    let expires = Timestamp::now().saturating_add(FRESH + EARLY).unwrap_or(Timestamp::MAX);
    Credential { token: Some(token), identity: None, expires: Some(expires) }
}

/// A client that sends what the kubeconfig has, the token that is in its file, or what its plugin has printed last.
pub(super) async fn log_in(mut config: Config, token_file: Option<token::File>) -> Result<Client, Refusal> {
    // As for kubectl, a plugin is asked for nothing where there is a token or a name.
    let has_other = config.auth_info.token.is_some() || config.auth_info.username.is_some();
    let exec = config.auth_info.exec.take().filter(|_| !has_other);
    let has_terminal = std::io::stdin().is_terminal();
    let (source, first) = match (token_file, exec) {
        (Some((path, token)), _) => (Source::File(path), of_file(token)),
        (None, Some(exec)) => {
            let first = plugin::run(&exec, has_terminal).await?;
            (Source::Plugin(exec.into()), first)
        }
        (None, None) => return client(config),
    };
    let expires = first.expires;
    let current = Arc::new(Mutex::new(with(&config, first)?));
    let mut renewal = JoinSet::new();
    renewal.spawn(renew(config, source, has_terminal, expires, Arc::clone(&current)));
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        // It ends with the client.
        let _ = &renewal;
        let (client, token) = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        async move { client.send(request).await }
    });
    Ok(Client::new(service, "default"))
}

type LoggedIn = (Client, Option<HeaderValue>);

async fn renew(
    config: Config,
    source: Source,
    has_terminal: bool,
    mut expires: Option<Timestamp>,
    current: Arc<Mutex<LoggedIn>>,
) {
    while let Some(at) = expires {
        let due = Timestamp::now().saturating_add(usable(at, Timestamp::now())).unwrap_or(Timestamp::MAX);
        let left = || Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        while !left().is_zero() {
            sleep(left().min(STEP)).await;
        }
        let Some(next) = source.renew(has_terminal).await else {
            // What there is serves until the API server refuses it.
            sleep(STEP).await;
            continue;
        };
        expires = next.expires;
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if next.identity.is_none() {
            current.1 = next.token;
        } else if let Ok(next) = with(&config, next) {
            *current = next;
        }
    }
}

fn client(config: Config) -> Result<Client, Refusal> {
    Client::try_from(config).map_err(|error| match error {
        kube::Error::RustlsTls(error) => Refusal::start(format!("TLS cannot be set up: {error}"), TLS),
        error => {
            let error = ApiError::new("connect to", "cluster", error);
            Refusal::start(error.to_string(), error.hint())
        }
    })
}

fn with(config: &Config, credential: Credential) -> Result<LoggedIn, Refusal> {
    let mut config = config.clone();
    if let Some([certificate, key]) = credential.identity {
        config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
        config.auth_info.client_key_data = Some(STANDARD.encode(key).into());
    }
    Ok((client(config)?, credential.token))
}

/// How long a credential is used that expires then: for half of its life where that is short.
fn usable(expires: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    left.saturating_sub(EARLY).max(left / 2).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_renewed_before_it_expires() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (expires, seconds) in [("13:00:00", 3540), ("12:01:00", 30), ("12:00:01", 1), ("11:00:00", 1)] {
            let expires = format!("2026-11-28T{expires}Z").parse().unwrap();
            assert_eq!(usable(expires, now), Duration::from_secs(seconds), "{expires}");
        }
    }

    #[tokio::test]
    async fn a_token_in_a_file_is_read_anew_and_one_that_is_none_is_not_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = Source::File(file.path().to_owned());
        for (written, sent) in
            [("", None), ("a\r\n", Some("Bearer a")), ("a\nb", None), ("\u{feff}c ", Some("Bearer c"))]
        {
            std::fs::write(file.path(), written).unwrap();
            let token = source.renew(false).await.map(|read| read.token.unwrap().to_str().unwrap().to_owned());
            assert_eq!(token.as_deref(), sent, "{written:?}");
        }
        let fresh = usable(of_file(HeaderValue::from_static("Bearer a")).expires.unwrap(), Timestamp::now());
        assert!(fresh <= FRESH && fresh + LEAST > FRESH, "{fresh:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_plugin_runs_again_before_its_token_expires() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "echo x >>{0}; n=$(grep -c x {0}); test $n = 1 && e=$(date -u -d '3 seconds' +%FT%TZ) || e=; \
             echo \"{{status: {{token: t$n, expirationTimestamp: '$e'}}}}\"",
            folder.path().join("runs").display()
        );
        let exec = serde_json::json!({"command": "sh", "args": ["-c", script], "interactiveMode": "Never"});
        let exec: ExecConfig = serde_json::from_value(exec).unwrap();
        let first = plugin::run(&exec, false).await.unwrap();
        assert_eq!(first.token.as_ref().unwrap(), "Bearer t1");
        let (config, expires) = (Config::new("http://127.0.0.1:1".parse().unwrap()), first.expires);
        let current = Arc::new(Mutex::new(with(&config, first).unwrap()));
        // The second one does not expire.
        let renewal = renew(config, Source::Plugin(exec.into()), false, expires, Arc::clone(&current));
        tokio::time::timeout(Duration::from_secs(30), renewal).await.unwrap();
        assert_eq!(current.lock().unwrap().1.as_ref().unwrap(), "Bearer t2");
    }
}
