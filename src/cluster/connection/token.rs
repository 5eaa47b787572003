//! Bearer tokens: what fits into a header, those in files, and those of old providers. Imports `input`.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::input;

/// The largest file with a token that is read, in KiB; a header that long is accepted nowhere.
const MOST_KIB: u64 = 1024;

/// So long before it expires kubectl renews a token.
const EARLY: SignedDuration = SignedDuration::from_secs(10);

/// A file with a token, which others renew, and the header of what it had at first.
pub(super) type File = (PathBuf, HeaderValue);

/// The value of the header; `None` for what is none, such as more than one line.
pub(super) fn header(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The token in a file, without the blanks and line ends around it; why there is none.
pub(super) fn read(file: &Path) -> std::io::Result<String> {
    let text = input::text(file, MOST_KIB)?;
    Some(text.trim()).filter(|token| !token.is_empty()).map(str::to_owned).ok_or(std::io::Error::other("it is empty"))
}

/// The token of an old `auth-provider`, of which nothing is run; or what is wrong with it, and what to do: one that is gone is told
/// with what replaced it.
pub(super) fn provided(provider: &Value) -> Result<String, (String, &'static str)> {
    let name = provider["name"].as_str().unwrap_or_default();
    let hint = match name {
        "oidc" => return oidc(&provider["config"]),
        "gcp" => "install `gke-gcloud-auth-plugin`, then run `gcloud container clusters get-credentials`",
        "azure" => "install `kubelogin`, then run `kubelogin convert-kubeconfig`",
        _ => "use a credential plugin (`exec`): ask whoever gave you the kubeconfig for another",
    };
    Err((format!("is `{name}`, which Kubernetes does not have any more"), hint))
}

fn oidc(config: &Value) -> Result<String, (String, &'static str)> {
    let token = config["id-token"].as_str().unwrap_or_default();
    let what = match expires(token) {
        Some(expires) if expires.duration_since(Timestamp::now()) > EARLY => return Ok(token.to_owned()),
        Some(expires) => format!("has an `id-token` that expired at {expires}"),
        None => "has no `id-token` that is a JWT".to_owned(),
    };
    let renews = "run any kubectl command with this context, which renews it; then run again";
    let nobody =
        "log in again with what made the kubeconfig: without a `refresh-token` kubectl does not renew it, either";
    Err((what, if config["refresh-token"].is_string() { renews } else { nobody }))
}

fn expires(token: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Some(Timestamp::from_second(claims["exp"].as_i64()?).unwrap_or(Timestamp::MAX))
}
