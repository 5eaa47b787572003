//! Kubeconfigs, read as kubectl reads them: of all files, only what the one context needs, without what is empty, with its
//! files read. Imports `error` and `input`.

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

/// The largest kubeconfig that is read, and file that it names, in KiB: thousands of clusters.
const MOST_KIB: u64 = 16 * 1024;
const GIVE: &str = "give its path with --kubeconfig or KUBECONFIG; README.md shows how to start a cluster";
const LOOK: &str = "`kubectl config view` with this file says more; or give another with --kubeconfig";

/// What the kubeconfigs have for one context.
pub struct Kubeconfig {
    /// The file that has the context.
    pub origin: String,
    pub host: String,
    /// How `kube` is to connect, without a proxy.
    pub(super) config: Config,
    pub(super) proxy_url: Option<String>,
    /// Where the certificate authorities are that may have issued the server's certificate.
    pub(super) trusted: String,
    /// The token's file, which `kube` is not told of.
    pub(super) token_file: Option<token::File>,
}

pub fn read_kubeconfig(target: &Target) -> Result<Kubeconfig, Refusal> {
    let files = Files::read(target)?;
    let Some(context) = files.entry("context", &target.context) else { return Err(files.unknown(&target.context)) };
    let name = context.text("cluster");
    let gone = || context.wrong("cluster", &format!("names `{name}`, which no kubeconfig has ({})", files.told()));
    let mut cluster = files.entry("cluster", name).ok_or_else(gone)?;
    // As for kubectl, one that is nowhere is nobody.
    let mut user = files.entry("user", context.text("user")).unwrap_or_default();
    let trusted = cluster.trusted();
    let authority = cluster.inline("certificate-authority")?;
    let has_certificate = user.inline("client-certificate")?.is_some();
    if !has_certificate {
        // As for kubectl, a key alone is none.
        user.fields.retain(|key, _| !key.starts_with("client-key"));
    } else if user.inline("client-key")?.is_none() {
        return Err(user.wrong("client-key", "is absent, but there is a `client-certificate`"));
    }
    if user.fields.contains_key("username") {
        user.fields.entry("password").or_insert_with(|| "".into());
    }
    if let Some(Value::String(command)) = user.fields.get_mut("exec").and_then(|exec| exec.get_mut("command"))
        && command.contains(MAIN_SEPARATOR)
    {
        *command = beside(&user.file, command).to_string_lossy().into_owned();
    }
    user.provided()?;
    let token_file = user.token()?;
    let insecure = cluster.fields.get("insecure-skip-tls-verify") == Some(&Value::Bool(true));
    let scheme = if authority.is_some() || has_certificate || insecure { "https" } else { "http" };
    let server = proxy::url(cluster.text("server"), scheme, &[("http", 80), ("https", 443)])
        .ok_or_else(|| cluster.wrong("server", "is absent, or no URL such as https://HOST:PORT"))?;
    let mut config = Config::new(server);
    if let Some(pem) = authority {
        // As for kubectl, those that can be read do.
        let found = CertificateDer::pem_slice_iter(&pem).filter_map(|found| Some(found.ok()?.to_vec()));
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            return Err(cluster.wrong("certificate-authority", "holds no certificates in PEM"));
        }
        config.root_cert = Some(found);
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

/// The kubeconfigs that are listed, and what those say that are there.
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
            let refused = |what, error, hint| {
                Refusal::start(format!("cannot {what} the kubeconfig {}: {error}", path.display()), hint)
            };
            let document = match input::text(&path, MOST_KIB) {
                Ok(text) => Some(document(&text).map_err(|why| refused("use", why, LOOK))?),
                Err(error) if error.kind() == ErrorKind::NotFound && target.kubeconfig.is_none() => None,
                Err(error) => return Err(refused("read", error.to_string(), GIVE)),
            };
            Ok((path, document))
        };
        paths.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The first entry of that kind and name in any file.
    fn entry(&self, kind: &'static str, name: &str) -> Option<Entry> {
        self.0.iter().find_map(|(file, document)| {
            let mut entries = document.as_ref()?.get(format!("{kind}s"))?.as_array()?.iter();
            let entry = entries.find(|entry| entry["name"] == name)?;
            let mut fields = entry[kind].as_object().cloned().unwrap_or_default();
            prune(&mut fields);
            Some(Entry { kind, name: name.to_owned(), file: file.clone(), fields })
        })
    }

    fn unknown(&self, context: &str) -> Refusal {
        if self.0.iter().all(|(_, document)| document.is_none()) {
            return Refusal::start(format!("cannot read the kubeconfig ({})", self.told()), GIVE);
        }
        let contexts = self.0.iter().filter_map(|(_, document)| document.as_ref()?["contexts"].as_array());
        let contexts: Vec<&str> = contexts.flatten().filter_map(|context| context["name"].as_str()).collect();
        let known = if contexts.is_empty() { " no contexts".to_owned() } else { format!(": {}", contexts.join(", ")) };
        let hint = format!("{} it has{known}; choose one with --context", suggestion(context, contexts));
        Refusal::start(format!("the kubeconfig ({}) has no context `{context}`", self.told()), hint.trim_start())
    }

    fn told(&self) -> String {
        let told = |(path, document): &(PathBuf, Option<Value>)| {
            format!("{}{}", path.display(), if document.is_some() { "" } else { " (missing)" })
        };
        self.0.iter().map(told).reduce(|all, next| all + ", " + &next).unwrap_or("no file is listed".to_owned())
    }
}

fn document(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins };
    let mut bytes = text.as_bytes();
    // As kubectl, which reads no further than the first document.
    match serde_saphyr::read_with_options::<_, Value>(&mut bytes, options).next() {
        None | Some(Ok(Value::Null)) => Ok(Value::Null),
        Some(Ok(document @ Value::Object(_))) => Ok(document),
        Some(Ok(_)) => Err("it is YAML, but has none of the keys of a kubeconfig".to_owned()),
        Some(Err(error)) => {
            let at = error.location().map(|at| format!(" from line {}, column {} on", at.line(), at.column()));
            // The parser's words may quote what is secret.
            Err(format!("it is no YAML{}", at.unwrap_or_default()))
        }
    }
}

/// Removes what is absent to kubectl; lists, such as a plugin's arguments, stay as they are.
fn prune(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !value.is_null() && value != "");
    fields.values_mut().filter_map(Value::as_object_mut).for_each(prune);
}

fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

#[derive(Default)]
struct Entry {
    kind: &'static str,
    name: String,
    file: PathBuf,
    fields: Map<String, Value>,
}

impl Entry {
    /// Nothing of the value is told: it may be secret.
    fn wrong(&self, key: &str, what: &str) -> Refusal {
        let place = format!("the {} `{}` in {}", self.kind, self.name, self.file.display());
        Refusal::start(format!("{place}: `{key}` {what}"), "repair it there, or choose another --context")
    }

    fn text(&self, key: &str) -> &str {
        self.fields.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A certificate or key, which is put into the entry itself where it is in a file.
    fn inline(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let data_key = format!("{key}-data");
        let data: String = self.text(&data_key).split_whitespace().collect();
        let path = beside(&self.file, self.text(key));
        let data = if !data.is_empty() {
            STANDARD.decode(&data).map_err(|_| self.wrong(&data_key, "is no base64"))?
        } else if self.fields.contains_key(key) {
            let unread = |error| self.wrong(key, &format!("names {}, which cannot be read: {error}", path.display()));
            input::bytes(&path, MOST_KIB).map_err(unread)?
        } else {
            return Ok(None);
        };
        self.fields.insert(data_key, STANDARD.encode(&data).into());
        Ok(Some(data))
    }

    /// Takes out the token's file, which wins over a token and a plugin where it can be read, and tells what is no header.
    fn token(&mut self) -> Result<Option<token::File>, Refusal> {
        let not = "holds a line break or another character that no HTTP header may have";
        if let Some(key) = ["token", "as", "as-uid"].into_iter().find(|key| token::header(self.text(key)).is_none()) {
            return Err(self.wrong(key, not));
        }
        if !self.fields.contains_key("tokenFile") {
            return Ok(None);
        }
        let path = beside(&self.file, self.text("tokenFile"));
        let wrong = |what: &str| self.wrong("tokenFile", &format!("names {}, which {what}", path.display()));
        let token = match token::read(&path) {
            Err(error) if self.text("token").is_empty() => return Err(wrong(&format!("has no token: {error}"))),
            read => read.unwrap_or_else(|_| self.text("token").to_owned()),
        };
        let header = token::header(&token).ok_or_else(|| wrong(not))?;
        self.fields.retain(|key, _| !["token", "tokenFile", "exec"].contains(&&**key));
        Ok(Some((path, header)))
    }

    fn trusted(&self) -> String {
        let place = format!("the cluster `{}` in {}", self.name, self.file.display());
        match ["certificate-authority-data", "certificate-authority"].map(|key| self.text(key)) {
            ["", ""] => format!("this system's store, because {place} has no `certificate-authority`"),
            ["", path] => beside(&self.file, path).display().to_string(),
            _ => format!("the `certificate-authority-data` of {place}"),
        }
    }

    /// Puts the token of an `auth-provider` in its place, where nothing else stands for the user.
    fn provided(&mut self) -> Result<(), Refusal> {
        let Some(provider) = self.fields.remove("auth-provider") else { return Ok(()) };
        let has_other = ["token", "tokenFile", "username"].iter().any(|key| self.fields.contains_key(*key));
        match token::provided(&provider) {
            Ok(token) if !has_other => drop(self.fields.insert("token".to_owned(), token.into())),
            // One that Kubernetes does not have is refused whatever else there is.
            Err((what, hint)) if !has_other || provider["name"] != "oidc" => {
                return Err(Refusal { hint: hint.to_owned(), ..self.wrong("auth-provider", &what) });
            }
            _ => {}
        }
        Ok(())
    }

    fn typed<T: DeserializeOwned + Default>(self) -> Result<T, Refusal> {
        let is_odd = |(key, value): &(&String, &Value)| serde_json::from_value::<T>(json!({ *key: value })).is_err();
        match self.fields.iter().find(is_odd) {
            Some((key, _)) => Err(self.wrong(key, "has a value of another type than kubectl reads")),
            None => Ok(serde_json::from_value(Value::Object(self.fields)).unwrap_or_default()),
        }
    }
}
