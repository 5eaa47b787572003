//! Bearer tokens: from kubeconfigs, from files and from legacy auth providers.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::input;

/// The maximum size of a token file, in KiB; no server accepts a header this long.
const MAX_KIB: u64 = 1024;

/// How long before it expires kubectl renews a token.
const EARLY: SignedDuration = SignedDuration::from_secs(10);

/// A token file and the header of its first token; another process renews the file.
pub(super) type File = (PathBuf, HeaderValue);

/// The header's value; `None` if the token is not allowed in one, such as two lines.
pub(super) fn header(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

pub(super) fn read(file: &Path) -> std::io::Result<String> {
    let text = input::text(file, MAX_KIB)?;
    Some(text.trim()).filter(|token| !token.is_empty()).map(str::to_owned).ok_or(std::io::Error::other("it is empty"))
}

/// The token of a legacy `auth-provider`, whose command is never run; or the problem and a hint.
pub(super) fn of_provider(provider: &Value) -> Result<String, (String, &'static str)> {
    let name = provider["name"].as_str().unwrap_or_default();
    let hint = match name {
        "oidc" => return oidc(&provider["config"]),
        "gcp" => "install `gke-gcloud-auth-plugin`, then run `gcloud container clusters get-credentials`",
        "azure" => "install `kubelogin`, then run `kubelogin convert-kubeconfig`",
        _ => "ask the kubeconfig's author for one that uses a credential plugin (`exec`)",
    };
    Err((format!("is `{name}`, which Kubernetes no longer supports"), hint))
}

fn oidc(config: &Value) -> Result<String, (String, &'static str)> {
    let token = config["id-token"].as_str().unwrap_or_default();
    let problem = match expires(token) {
        Some(expires) if expires.duration_since(Timestamp::now()) > EARLY => return Ok(token.to_owned()),
        Some(expires) => format!("has an `id-token` that expired at {expires}"),
        None => "has no `id-token` that is a JWT".to_owned(),
    };
    let renew = "run any kubectl command with this context to renew it, then run again";
    let log_in =
        "log in again with the tool that created the kubeconfig; without a `refresh-token`, kubectl cannot renew it";
    Err((problem, if config["refresh-token"].is_string() { renew } else { log_in }))
}

fn expires(token: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Some(Timestamp::from_second(claims["exp"].as_i64()?).unwrap_or(Timestamp::MAX))
}
