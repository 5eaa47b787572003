//! Logs in with the kubeconfig's credentials, a token file or a credential plugin, and renews them before they expire.

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

/// How long before it expires a credential is renewed: the user may have to log in.
const EARLY: Duration = Duration::from_secs(60);
/// How often a token file is read again, as by kubectl.
const REREAD: Duration = Duration::from_secs(60);
const MIN_LIFETIME: Duration = Duration::from_secs(1);
/// The pause after a failed renewal, and the longest sleep: a suspended machine notices the time after it.
const STEP: Duration = Duration::from_secs(10);

const TLS: &str = "check the certificates and the key of the kubeconfig's user; if its cluster has no `certificate-authority`, also \
                   check the system certificate store";

enum Source {
    File(PathBuf),
    Plugin(Box<ExecConfig>),
}

impl Source {
    /// A new credential; `None` on failure, which a plugin reports itself on standard error.
    async fn renew(&self, has_terminal: bool) -> Option<Credential> {
        match self {
            Self::File(path) => token::read(path).ok().and_then(|token| token::header(&token)).map(from_file),
            Self::Plugin(exec) => plugin::run(exec, has_terminal).await.ok(),
        }
    }
}

fn from_file(token: HeaderValue) -> Credential {
    let expires = Timestamp::now().saturating_add(REREAD + EARLY).unwrap_or(Timestamp::MAX);
    Credential { token: Some(token), identity: None, expires: Some(expires) }
}

pub(super) async fn log_in(mut config: Config, token_file: Option<token::File>) -> Result<Client, Refusal> {
    // Like kubectl: a token or a user name overrides a plugin.
    let has_other = config.auth_info.token.is_some() || config.auth_info.username.is_some();
    let exec = config.auth_info.exec.take().filter(|_| !has_other);
    let has_terminal = std::io::stdin().is_terminal();
    let (source, first) = match (token_file, exec) {
        (Some((path, token)), _) => (Source::File(path), from_file(token)),
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
        // The client owns the renewal and ends it.
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
        let due = Timestamp::now().saturating_add(lifetime(at, Timestamp::now())).unwrap_or(Timestamp::MAX);
        let left = || Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
        while !left().is_zero() {
            sleep(left().min(STEP)).await;
        }
        let Some(next) = source.renew(has_terminal).await else {
            // Keep the old credential until the API server rejects it.
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
        kube::Error::RustlsTls(error) => Refusal::start(format!("cannot set up TLS: {error}"), TLS),
        error => {
            let error = ApiError::new("connect to", "the cluster", error);
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

/// How long to use a credential before it is renewed: for half of a short life.
fn lifetime(expires: Timestamp, now: Timestamp) -> Duration {
    let left = Duration::try_from(expires.duration_since(now)).unwrap_or_default();
    left.saturating_sub(EARLY).max(left / 2).max(MIN_LIFETIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_renewed_before_it_expires() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        for (expires, seconds) in [("13:00:00", 3540), ("12:01:00", 30), ("12:00:01", 1), ("11:00:00", 1)] {
            let expires = format!("2026-11-28T{expires}Z").parse().unwrap();
            assert_eq!(lifetime(expires, now), Duration::from_secs(seconds), "{expires}");
        }
    }

    #[tokio::test]
    async fn a_token_file_is_read_again_and_invalid_content_ignored() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = Source::File(file.path().to_owned());
        for (written, sent) in
            [("", None), ("a\r\n", Some("Bearer a")), ("a\nb", None), ("\u{feff}c ", Some("Bearer c"))]
        {
            std::fs::write(file.path(), written).unwrap();
            let token = source.renew(false).await.map(|read| read.token.unwrap().to_str().unwrap().to_owned());
            assert_eq!(token.as_deref(), sent, "{written:?}");
        }
        let reread = lifetime(from_file(HeaderValue::from_static("Bearer a")).expires.unwrap(), Timestamp::now());
        assert!(reread <= REREAD && reread + MIN_LIFETIME > REREAD, "{reread:?}");
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
        // The second token does not expire.
        let renewal = renew(config, Source::Plugin(exec.into()), false, expires, Arc::clone(&current));
        tokio::time::timeout(Duration::from_secs(30), renewal).await.unwrap();
        assert_eq!(current.lock().unwrap().1.as_ref().unwrap(), "Bearer t2");
    }
}
