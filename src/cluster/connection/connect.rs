//! From a kubeconfig and a context to a cluster that answered; refuses with what to do next.

use std::sync::Arc;

use http::header::DATE;
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::Client;
use kube::client::Body;

use super::kubeconfig::{Kubeconfig, read_kubeconfig};
use super::{login, middlebox, proxy};
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, Target, answered};
use crate::cluster::deadline::CONNECT;
use crate::cluster::transport::TransportError;
use crate::error::Refusal;

pub async fn connect(target: Target) -> Result<Cluster, Refusal> {
    let kubeconfig = read_kubeconfig(&target)?;
    Box::pin(connect_with(target, kubeconfig)).await
}

/// Logs in with what a kubeconfig has for the target's context, and asks for the version.
pub async fn connect_with(target: Target, kubeconfig: Kubeconfig) -> Result<Cluster, Refusal> {
    let Kubeconfig { mut config, proxy_url, token_file, trusted, .. } = kubeconfig;
    config.connect_timeout = Some(CONNECT);
    // By default kube repeats refused requests for minutes without a word.
    config.default_retry = false;
    let server = config.cluster_url.clone();
    let address = proxy::bare(&server);
    let at = format!("context `{}` at {address}", target.context);
    let place = |Refusal { what, hint, exit }| Refusal { what: format!("{at}: {what}"), hint, exit };
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let proxy = proxy::choose(&server, proxy_url, variable).map_err(place)?;
    config.proxy_url = proxy.as_ref().map(|(url, _)| url.clone());
    let mut urls = std::iter::once(&server).chain(&config.proxy_url);
    if config.accept_invalid_certs || urls.all(|url| url.scheme_str() != Some("https")) {
        // Nothing is looked up in the system's store, which may be empty.
        config.root_cert.get_or_insert_default();
    }
    let client = middlebox::guarded(login::log_in(config, token_file).await.map_err(place)?);
    let mut answer = answered("get", "/version", version(&client)).await;
    if let Err(ApiError::Transport(.., error)) = &mut answer
        && error.is_of_trust
    {
        error.what = format!("{} (those are in {trusted})", error.what);
    }
    let (version, ahead) = match (answer, proxy) {
        (Ok(answer), _) => answer,
        (Err(error), None) => return Err(place(Refusal::start(error.to_string(), error.hint()))),
        (Err(error), Some(proxy)) => return Err(place(proxy::refusal(&proxy, &server, &error).await)),
    };
    Ok(Cluster { client, target: Arc::new(target), address, version, ahead, concurrency: Arc::default() })
}

async fn version(client: &Client) -> Result<(Info, SignedDuration), kube::Error> {
    let request = http::Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let sent = Timestamp::now();
    let response = client.send(request).await?;
    let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
    let ahead = date.and_then(|date| ahead(date, sent)).unwrap_or_default();
    let status = response.status();
    let body = response.into_body().collect_bytes().await?;
    if status.is_success() {
        let version: Info = serde_json::from_slice(&body).unwrap_or_default();
        let foreign = || TransportError::foreign(&format!("{status}, without a gitVersion"));
        let is_kubernetes = !version.git_version.is_empty();
        return is_kubernetes.then_some((version, ahead)).ok_or_else(|| kube::Error::Service(foreign().into()));
    }
    let mut answer: kube::core::Status = serde_json::from_slice(&body).unwrap_or_default();
    answer.code = status.as_u16();
    Err(kube::Error::Api(Box::new(answer)))
}

fn ahead(date: &str, sent: Timestamp) -> Option<SignedDuration> {
    let date = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    // The header has whole seconds: on average it is half a second late.
    Some(date.duration_since(sent) + SignedDuration::from_millis(500))
}
