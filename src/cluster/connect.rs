//! From a kubeconfig and a context to a cluster that answered; refuses with what to do next.

use std::sync::Arc;
use std::time::Duration;

use http::header::DATE;
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::{ApiError, Cluster, Target, answered, plugin};
use crate::error::{Refusal, suggestion};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Connects to the target's context and asks for its version.
///
/// # Errors
/// A refusal with exit code 3: no kubeconfig, unknown context, no answer, no permission.
pub async fn connect(target: Target) -> Result<Cluster, Refusal> {
    let kubeconfig = read(&target)?;
    reach(target, kubeconfig).await
}

/// Logs in with a kubeconfig that has the target's context, and asks for the version.
///
/// # Errors
/// As above.
pub async fn reach(target: Target, Known { kubeconfig, .. }: Known) -> Result<Cluster, Refusal> {
    let options = KubeConfigOptions { context: Some(target.context.clone()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| {
        Refusal::start(format!("context `{}` cannot be used: {error}", target.context), "repair it in the kubeconfig")
    })?;
    config.connect_timeout = Some(CONNECT);
    // By default kube repeats refused requests for minutes without a word.
    config.default_retry = false;
    // kube matches NO_PROXY against the proxy instead of the cluster; a local cluster is never behind one.
    if is_loopback(&config.cluster_url) {
        config.proxy_url = None;
    }
    let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let place = |what: String| format!("context `{}` at {address}: {what}", target.context);
    let client = plugin::log_in(config).await.map_err(|Refusal { what, hint, exit }| Refusal {
        what: place(what),
        hint,
        exit,
    })?;
    let refused = |error: &ApiError| Refusal::start(place(error.to_string()), error.hint());
    let (version, ahead) = answered("get", "/version", version(&client)).await.map_err(|error| refused(&error))?;
    Ok(Cluster { client, target: Arc::new(target), address, version, ahead, pace: Arc::default() })
}

/// A kubeconfig that has the target's context.
pub struct Known {
    /// Where it comes from.
    pub origin: String,
    kubeconfig: Kubeconfig,
}

impl Known {
    /// The API server's host, as the kubeconfig has it.
    pub fn host(&self, context: &str) -> Option<String> {
        let context = self.kubeconfig.contexts.iter().find(|known| known.name == context)?.context.as_ref()?;
        let cluster = self.kubeconfig.clusters.iter().find(|known| known.name == context.cluster)?.cluster.as_ref()?;
        let url: http::Uri = cluster.server.as_ref()?.parse().ok()?;
        url.host().map(str::to_owned)
    }
}

/// The kubeconfig, if it has the context.
///
/// # Errors
/// A refusal with exit code 3.
pub fn read(target: &Target) -> Result<Known, Refusal> {
    let (read, origin) = match &target.kubeconfig {
        Some(path) => (Kubeconfig::read_from(path), path.display().to_string()),
        None => (Kubeconfig::read(), "KUBECONFIG or .kube/config in your home folder".to_owned()),
    };
    let kubeconfig = read.map_err(|error| match error {
        KubeconfigError::ReadConfig(error, path) => Refusal::start(
            format!("cannot read the kubeconfig {}: {error}", path.display()),
            "give its path with --kubeconfig or KUBECONFIG; README.md shows how to start a cluster",
        ),
        error => {
            Refusal::start(format!("cannot use the kubeconfig ({origin}): {error}"), "give another with --kubeconfig")
        }
    })?;
    let contexts: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    if contexts.contains(&target.context.as_str()) {
        return Ok(Known { origin, kubeconfig });
    }
    let known =
        if contexts.is_empty() { "it has no contexts".to_owned() } else { format!("it has: {}", contexts.join(", ")) };
    Err(Refusal::start(
        format!("the kubeconfig ({origin}) has no context `{}`", target.context),
        format!("{} {known}; choose one with --context", suggestion(&target.context, contexts)).trim_start().to_owned(),
    ))
}

/// The server's version, and how far its clock is ahead of ours.
async fn version(client: &Client) -> Result<(Info, SignedDuration), kube::Error> {
    let request = http::Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let sent = Timestamp::now();
    let response = client.send(request).await?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let ahead = date.and_then(|date| ahead(date, sent)).unwrap_or_default();
    let status = response.status();
    let body = response.into_body().collect_bytes().await?;
    if status.is_success() {
        return Ok((serde_json::from_slice(&body).map_err(kube::Error::SerdeError)?, ahead));
    }
    let mut answer: kube::core::Status = serde_json::from_slice(&body).unwrap_or_default();
    answer.code = status.as_u16();
    Err(kube::Error::Api(Box::new(answer)))
}

/// How far the clock that wrote a `Date` header is ahead of ours.
fn ahead(date: &str, sent: Timestamp) -> Option<SignedDuration> {
    let date = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    // The header has whole seconds: on average it is half a second late.
    Some(date.duration_since(sent) + SignedDuration::from_millis(500))
}

fn is_loopback(url: &http::Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_whose_clock_is_off_is_read_by_its_own() {
        let sent: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        let half = SignedDuration::from_millis(500);
        for (date, seconds) in [("Sat, 21 Nov 2026 03:10:00 GMT", 600), ("Sat, 21 Nov 2026 02:55:00 GMT", -300)] {
            assert_eq!(ahead(date, sent), Some(SignedDuration::from_secs(seconds) + half));
        }
        assert_eq!(ahead("yesterday", sent), None);
    }
}
