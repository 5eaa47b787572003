//! Clients that are logged in: with what the kubeconfig has, or with what a credential plugin prints, before that expires.
//! Imports `error`.

use std::io::IsTerminal;
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

use super::ApiError;
use super::plugin::{self, Credential};
use crate::error::Refusal;

/// So long before a credential expires the plugin is run again: somebody may have to log in.
const EARLY: Duration = Duration::from_secs(60);
/// The shortest time between two runs of it.
const LEAST: Duration = Duration::from_secs(1);
/// The same after one that failed; and how late it is noticed that the machine has slept meanwhile.
const STEP: Duration = Duration::from_secs(10);

/// What helps where certificates or keys cannot be used.
const TLS: &str = "look at the certificates and the key of the kubeconfig's user; without a `certificate-authority` in its cluster, at \
                   this system's store of them, too";

/// Makes a client.
///
/// # Errors
/// A refusal with exit code 3.
pub(super) async fn log_in(mut config: Config) -> Result<Client, Refusal> {
    let user = &config.auth_info;
    // As for kubectl, a plugin is asked for nothing where there is a token or a name.
    let has_other = user.token.is_some() || user.username.is_some();
    match config.auth_info.exec.take().filter(|_| !has_other) {
        Some(exec) => renewed(config, exec).await,
        None => client(config),
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

/// A client with what the plugin prints; as long as there is one, the plugin is run again before that expires.
async fn renewed(config: Config, exec: ExecConfig) -> Result<Client, Refusal> {
    let has_terminal = std::io::stdin().is_terminal();
    let first = plugin::run(&exec, has_terminal).await?;
    let mut expires = first.expires;
    let current = Arc::new(Mutex::new(with(&config, first)?));
    let known = Arc::clone(&current);
    let mut renewal = JoinSet::new();
    renewal.spawn(async move {
        while let Some(at) = expires {
            let due = Timestamp::now().saturating_add(usable(at, Timestamp::now())).unwrap_or(Timestamp::MAX);
            loop {
                let left = Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default();
                if left.is_zero() {
                    break;
                }
                sleep(left.min(STEP)).await;
            }
            let Ok(next) = plugin::run(&exec, has_terminal).await else {
                // It has said itself what is wrong. What there is serves until the API server refuses it.
                sleep(STEP).await;
                continue;
            };
            expires = next.expires;
            if let Ok(next) = with(&config, next) {
                *known.lock().unwrap_or_else(PoisonError::into_inner) = next;
            }
        }
    });
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

/// A client with the credential's certificate, and the token that it is to send.
fn with(config: &Config, credential: Credential) -> Result<(Client, Option<HeaderValue>), Refusal> {
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

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_plugin_runs_once_and_again_before_its_token_expires() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let count = || std::fs::read_to_string(&runs).unwrap_or_default().lines().count();
        let script = format!(
            "echo x >>{0}; n=$(grep -c x {0}); test $n = 1 && e=$(date -u -d '3 seconds' +%FT%TZ) || e=; \
             echo \"{{status: {{token: t$n, expirationTimestamp: '$e'}}}}\"",
            runs.display()
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Says what it was asked.
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(&[head.as_bytes(), &asked[..length]].concat()).await.unwrap();
            }
        });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        let exec = serde_json::json!({"command": "sh", "args": ["-c", script], "interactiveMode": "Never"});
        config.auth_info.exec = Some(serde_json::from_value(exec).unwrap());
        let client = log_in(config).await.unwrap();
        assert_eq!(count(), 1);
        for token in ["Bearer t1", "Bearer t2"] {
            let limit = std::time::Instant::now() + Duration::from_secs(30);
            loop {
                let answer = client.send(http::Request::new(Body::empty())).await.unwrap();
                let said = answer.into_body().collect_bytes().await.unwrap();
                if String::from_utf8_lossy(&said).contains(token) {
                    break;
                }
                assert!(std::time::Instant::now() < limit, "no {token}");
                sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(count(), 2);
    }
}
