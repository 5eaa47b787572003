//! The old `auth-provider` of kubeconfigs: nothing of it is run, and one that is gone is told with what replaced it. Imports nothing of ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// So long before it expires kubectl renews a token.
const EARLY: SignedDuration = SignedDuration::from_secs(10);

/// Its token; or what is wrong with it, and what to do.
pub(super) fn token(provider: &Value) -> Result<String, (String, &'static str)> {
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

/// Until when a JWT can be used.
fn expires(token: &str) -> Option<Timestamp> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Some(Timestamp::from_second(claims["exp"].as_i64()?).unwrap_or(Timestamp::MAX))
}
