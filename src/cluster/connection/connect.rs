//! Connects to the cluster of a kubeconfig's context; a refusal has a hint.

use std::sync::Arc;

use http::header::DATE;
use k8s_openapi::apimachinery::pkg::version::Info;
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use kube::Client;
use kube::client::Body;

use super::kubeconfig::{Kubeconfig, read_kubeconfig};
use super::{login, middlebox, proxy};
use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, Target, with_deadline};
use crate::cluster::deadline::CONNECT;
use crate::cluster::transport::TransportError;
use crate::error::Refusal;

pub async fn connect(target: Target) -> Result<Cluster, Refusal> {
    let kubeconfig = read_kubeconfig(&target)?;
    Box::pin(connect_with(target, kubeconfig)).await
}

/// Logs in as the kubeconfig describes, and gets the cluster's version.
pub async fn connect_with(target: Target, kubeconfig: Kubeconfig) -> Result<Cluster, Refusal> {
    let Kubeconfig { mut config, proxy_url, token_file, trusted, .. } = kubeconfig;
    config.connect_timeout = Some(CONNECT);
    // By default, kube silently repeats refused requests for minutes.
    config.default_retry = false;
    let server = config.cluster_url.clone();
    let address = proxy::without_credentials(&server);
    let context = format!("context `{}` at {address}", target.context);
    let in_context = |Refusal { what, hint, exit }| Refusal { what: format!("{context}: {what}"), hint, exit };
    let variable = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let proxy = proxy::choose(&server, proxy_url, variable).map_err(in_context)?;
    config.proxy_url = proxy.as_ref().map(|(url, _)| url.clone());
    let mut urls = std::iter::once(&server).chain(&config.proxy_url);
    if config.accept_invalid_certs || urls.all(|url| url.scheme_str() != Some("https")) {
        // Do not load the system certificate store: it is not needed, and may be empty.
        config.root_cert.get_or_insert_default();
    }
    let client = middlebox::guarded(login::log_in(config, token_file).await.map_err(in_context)?);
    let mut reply = with_deadline("get", "/version", version(&client)).await;
    if let Err(ApiError::Transport(.., error)) = &mut reply
        && error.is_unknown_authority
    {
        error.message = format!("{} (trusted authorities: {trusted})", error.message);
    }
    let (version, ahead) = match (reply, proxy) {
        (Ok(reply), _) => reply,
        (Err(error), None) => return Err(in_context(Refusal::start(error.to_string(), error.hint()))),
        (Err(error), Some(proxy)) => return Err(in_context(proxy::refusal(&proxy, &server, &error).await)),
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
        if version.git_version.is_empty() {
            let error = TransportError::not_kubernetes(&format!("{status}, without a gitVersion"));
            return Err(kube::Error::Service(error.into()));
        }
        return Ok((version, ahead));
    }
    let mut error: kube::core::Status = serde_json::from_slice(&body).unwrap_or_default();
    error.code = status.as_u16();
    Err(kube::Error::Api(Box::new(error)))
}

fn ahead(date: &str, sent: Timestamp) -> Option<SignedDuration> {
    let date = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    // The header has whole seconds: on average it lags half a second.
    Some(date.duration_since(sent) + SignedDuration::from_millis(500))
}
