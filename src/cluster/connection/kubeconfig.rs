//! Reads kubeconfigs like kubectl: merges the files, ignores all that the context does not use and all empty values, and
//! loads the certificates, keys and tokens that it names.

use std::fmt;
use std::io::ErrorKind;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::Config;
use kube::config::Cluster;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_saphyr::DuplicateKeyPolicy;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::{home, proxy, token};
use crate::cluster::client::Target;
use crate::error::{Refusal, suggestion};
use crate::input;

/// The maximum size of a kubeconfig, or of a file that it names, in KiB: room for thousands of clusters.
const MAX_KIB: u64 = 16 * 1024;
const SET_PATH: &str = "set its path with --kubeconfig or KUBECONFIG; README.md shows how to start a cluster";
const FIX_YAML: &str =
    "run `kubectl config view --kubeconfig=FILE` for details, or choose another file with --kubeconfig";

pub struct Kubeconfig {
    pub origin: String,
    pub host: String,
    /// `kube`'s configuration, except proxy and token file.
    pub(super) config: Config,
    pub(super) proxy_url: Option<String>,
    pub(super) trusted: String,
    /// Renewed by [`super::login`] instead of `kube`.
    pub(super) token_file: Option<token::File>,
}

pub fn read_kubeconfig(target: &Target) -> Result<Kubeconfig, Refusal> {
    let files = Files::read(target)?;
    let context = &target.context;
    let context = files.entry("context", context).ok_or_else(|| files.without_context(context))?;
    let name = context.text("cluster");
    let undefined =
        || context.wrong("cluster", &format!("names `{name}`, which no kubeconfig defines ({})", files.listed()));
    let mut cluster = files.entry("cluster", name).ok_or_else(undefined)?;
    // Like kubectl: without such a user, requests are anonymous.
    let mut user = files.entry("user", context.text("user")).unwrap_or_default();
    let trusted = cluster.trusted();
    let authority = cluster.inline("certificate-authority")?;
    let has_certificate = user.inline("client-certificate")?.is_some();
    if !has_certificate {
        // Like kubectl: ignore a key without a certificate.
        user.fields.retain(|key, _| !key.starts_with("client-key"));
    } else if user.inline("client-key")?.is_none() {
        return Err(user.wrong("client-key", "is missing, but `client-certificate` is set"));
    }
    if user.fields.contains_key("username") {
        user.fields.entry("password").or_insert_with(|| "".into());
    }
    if let Some(Value::String(command)) = user.fields.get_mut("exec").and_then(|exec| exec.get_mut("command"))
        && command.contains(MAIN_SEPARATOR)
    {
        *command = relative_to(&user.file, command).to_string_lossy().into_owned();
    }
    user.auth_provider()?;
    let token_file = user.token()?;
    let insecure = cluster.fields.get("insecure-skip-tls-verify") == Some(&Value::Bool(true));
    let scheme = if authority.is_some() || has_certificate || insecure { "https" } else { "http" };
    let server = proxy::url(cluster.text("server"), scheme, &[("http", 80), ("https", 443)])
        .ok_or_else(|| cluster.wrong("server", "is missing or not a URL like https://HOST:PORT"))?;
    let mut config = Config::new(server);
    if let Some(pem) = authority {
        // Like kubectl: skip certificates that cannot be read.
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(|found| Some(found.ok()?.to_vec()));
        let certificates: Vec<_> = certificates.collect();
        if certificates.is_empty() {
            return Err(cluster.wrong("certificate-authority", "contains no PEM certificates"));
        }
        config.root_cert = Some(certificates);
    }
    let cluster: Cluster = cluster.typed()?;
    config.auth_info = user.typed()?;
    if let Some(exec) = config.auth_info.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = (&cluster).try_into().ok();
    }
    config.accept_invalid_certs = insecure;
    config.tls_server_name = cluster.tls_server_name;
    let host = config.cluster_url.host().unwrap_or_default().to_owned();
    Ok(Kubeconfig {
        origin: context.file.display().to_string(),
        host,
        config,
        proxy_url: cluster.proxy_url,
        trusted,
        token_file,
    })
}

/// The listed kubeconfigs; `None` for a missing file.
struct Files(Vec<(PathBuf, Option<Value>)>);

impl Files {
    fn read(target: &Target) -> Result<Self, Refusal> {
        let listed = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
        let paths = match (&target.kubeconfig, listed) {
            (Some(path), _) => vec![path.clone()],
            (None, Some(list)) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
            (None, None) => home::kubeconfig().into_iter().collect(),
        };
        let read = |path: PathBuf| {
            let refused = |verb, error, hint| {
                Refusal::start(format!("cannot {verb} the kubeconfig {}: {error}", path.display()), hint)
            };
            let document = match input::text(&path, MAX_KIB) {
                Ok(text) => Some(document(&text).map_err(|error| refused("parse", error, FIX_YAML))?),
                Err(error) if error.kind() == ErrorKind::NotFound && target.kubeconfig.is_none() => None,
                Err(error) => return Err(refused("read", error.to_string(), SET_PATH)),
            };
            Ok((path, document))
        };
        paths.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn entry(&self, kind: &'static str, name: &str) -> Option<Entry> {
        self.0.iter().find_map(|(file, document)| {
            let mut entries = document.as_ref()?.get(format!("{kind}s"))?.as_array()?.iter();
            let entry = entries.find(|entry| entry["name"] == name)?;
            let mut fields = entry[kind].as_object().cloned().unwrap_or_default();
            prune(&mut fields);
            Some(Entry { kind, name: name.to_owned(), file: file.clone(), fields })
        })
    }

    fn without_context(&self, context: &str) -> Refusal {
        if self.0.iter().all(|(_, document)| document.is_none()) {
            return Refusal::start(format!("no kubeconfig found: {}", self.listed()), SET_PATH);
        }
        let contexts = self.0.iter().filter_map(|(_, document)| document.as_ref()?["contexts"].as_array());
        let contexts: Vec<&str> = contexts.flatten().filter_map(|context| context["name"].as_str()).collect();
        let names = if contexts.is_empty() { "none".to_owned() } else { contexts.join(", ") };
        let hint = format!("{} available contexts: {names}; choose one with --context", suggestion(context, contexts));
        Refusal::start(format!("the kubeconfig ({}) has no context `{context}`", self.listed()), hint.trim_start())
    }

    fn listed(&self) -> String {
        let listed = |(path, document): &(PathBuf, Option<Value>)| {
            format!("{}{}", path.display(), if document.is_some() { "" } else { " (missing)" })
        };
        self.0.iter().map(listed).reduce(|all, next| all + ", " + &next).unwrap_or("no file listed".to_owned())
    }
}

fn document(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    let mut bytes = text.as_bytes();
    // Like kubectl: ignore all documents but the first.
    match serde_saphyr::read_with_options::<_, Value>(&mut bytes, options).next() {
        None | Some(Ok(Value::Null)) => Ok(Value::Null),
        Some(Ok(document @ Value::Object(_))) => Ok(document),
        Some(Ok(_)) => Err("valid YAML, but not a mapping with a kubeconfig's keys".to_owned()),
        Some(Err(error)) => {
            let place = error.location().map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            // The parser's own message may quote a secret.
            Err(format!("invalid YAML{}", place.unwrap_or_default()))
        }
    }
}

/// Removes the values that kubectl treats as absent; leaves lists, such as a plugin's arguments, as they are.
fn prune(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !value.is_null() && value != "");
    fields.values_mut().filter_map(Value::as_object_mut).for_each(prune);
}

/// A path in a kubeconfig, which is relative to that file's folder.
fn relative_to(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

#[derive(Default)]
struct Entry {
    kind: &'static str,
    name: String,
    file: PathBuf,
    fields: Map<String, Value>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` in {}", self.kind, self.name, self.file.display())
    }
}

impl Entry {
    /// Never shows the value: it may be a secret.
    fn wrong(&self, key: &str, problem: &str) -> Refusal {
        Refusal::start(format!("{self}: `{key}` {problem}"), "fix it there, or choose another --context")
    }

    fn text(&self, key: &str) -> &str {
        self.fields.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The bytes of a certificate or key, which is then inlined in the entry if it was in a file.
    fn inline(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let data_key = format!("{key}-data");
        let data: String = self.text(&data_key).split_whitespace().collect();
        let path = relative_to(&self.file, self.text(key));
        let data = if !data.is_empty() {
            STANDARD.decode(&data).map_err(|_| self.wrong(&data_key, "is not valid base64"))?
        } else if self.fields.contains_key(key) {
            let unread = |error| self.wrong(key, &format!("names {}, which cannot be read: {error}", path.display()));
            input::bytes(&path, MAX_KIB).map_err(unread)?
        } else {
            return Ok(None);
        };
        self.fields.insert(data_key, STANDARD.encode(&data).into());
        Ok(Some(data))
    }

    /// Removes the token file from the entry and reads it; if readable, it overrides a token and a plugin.
    fn token(&mut self) -> Result<Option<token::File>, Refusal> {
        let invalid = "contains a line break or another character that is not allowed in an HTTP header";
        if let Some(key) = ["token", "as", "as-uid"].into_iter().find(|key| token::header(self.text(key)).is_none()) {
            return Err(self.wrong(key, invalid));
        }
        if !self.fields.contains_key("tokenFile") {
            return Ok(None);
        }
        let path = relative_to(&self.file, self.text("tokenFile"));
        let wrong = |problem: &str| self.wrong("tokenFile", &format!("names {}, which {problem}", path.display()));
        let token = match token::read(&path) {
            Err(error) if self.text("token").is_empty() => return Err(wrong(&format!("contains no token: {error}"))),
            read => read.unwrap_or_else(|_| self.text("token").to_owned()),
        };
        let header = token::header(&token).ok_or_else(|| wrong(invalid))?;
        self.fields.retain(|key, _| !["token", "tokenFile", "exec"].contains(&&**key));
        Ok(Some((path, header)))
    }

    fn trusted(&self) -> String {
        match ["certificate-authority-data", "certificate-authority"].map(|key| self.text(key)) {
            ["", ""] => format!("the system certificate store, because {self} has no `certificate-authority`"),
            ["", path] => relative_to(&self.file, path).display().to_string(),
            _ => format!("`certificate-authority-data` of {self}"),
        }
    }

    /// Replaces an `auth-provider` by its token, unless the user logs in otherwise.
    fn auth_provider(&mut self) -> Result<(), Refusal> {
        let Some(provider) = self.fields.remove("auth-provider") else { return Ok(()) };
        let has_other = ["token", "tokenFile", "username"].iter().any(|key| self.fields.contains_key(*key));
        match token::of_provider(&provider) {
            Ok(token) if !has_other => drop(self.fields.insert("token".to_owned(), token.into())),
            // Like kubectl: refuse a removed provider even if it is not needed.
            Err((problem, hint)) if !has_other || provider["name"] != "oidc" => {
                return Err(Refusal { hint: hint.to_owned(), ..self.wrong("auth-provider", &problem) });
            }
            _ => {}
        }
        Ok(())
    }

    fn typed<T: DeserializeOwned + Default>(self) -> Result<T, Refusal> {
        let is_wrong = |(key, value): &(&String, &Value)| serde_json::from_value::<T>(json!({ *key: value })).is_err();
        match self.fields.iter().find(is_wrong) {
            Some((key, _)) => Err(self.wrong(key, "has a value of the wrong type")),
            None => Ok(serde_json::from_value(Value::Object(self.fields)).unwrap_or_default()),
        }
    }
}
