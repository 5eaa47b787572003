//! `drift`: the live objects match the release's manifest, without manual additions.
//!
//! `observe` already compares, so that the observation holds differences only: whole objects may hold secrets in
//! variables.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Need, Site, Subject, System};
use crate::cluster::manifest;
use crate::cluster::{Live, Select};
use crate::event::{Reason, Verdict};

mod compare;
mod fields;
mod managers;
mod path;
pub mod revision;

use compare::{Change, Comparison, Difference, compare};
use managers::{Field, Owner, managers};
use path::{is_within, overlap};

const MAX_REASONS: usize = 20;
/// The hint for additions.
const ADDED: &str = "remove it with kubectl edit; helm upgrade keeps it";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drift {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    release: String,
    /// Runs Helm on this cluster and namespace; older recordings have only its name.
    #[serde(default = "plain_helm")]
    helm: String,
    /// `None` for all objects.
    server: Option<String>,
    revision: u64,
    objects: Vec<Object>,
}

fn plain_helm() -> String {
    "helm".to_owned()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Object {
    kind: String,
    name: String,
    state: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    Missing,
    /// Why the live object could not be read.
    Unread(String),
    There {
        fields: usize,
        differences: Vec<(Difference, Option<Setter>)>,
        /// Fields that a user set and the manifest does not have.
        set: Vec<String>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Setter {
    /// A controller or webhook, not a user.
    is_controller: bool,
}

/// All objects of the manifest with their comparisons, made once per run.
struct Compared {
    revision: u64,
    objects: Vec<(Value, Object)>,
}

impl Kind for Drift {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::ServerOrSystem;
    const NEEDS: &'static [Need] = &[Need::Release, Need::Services];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let compared: Result<Arc<Compared>, Verdict> = site.shared.once("drift", Box::pin(compare_all(site))).await;
        let compared = compared?;
        let server = site.id.server.clone();
        let is_wanted = |object: &Value| server.as_ref().is_none_or(|server| is_of(&site.system.pods, server, object));
        let wanted = compared.objects.iter().filter(|(desired, _)| is_wanted(desired));
        let objects = wanted.map(|(_, object)| object.clone()).collect();
        let cluster = &site.shared.cluster;
        let helm = format!("helm --kube-context={} -n {}", cluster.context(), cluster.namespace());
        Ok(Observation { release: cluster.release().to_owned(), helm, revision: compared.revision, objects, server })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let whose = seen.server.as_ref().map_or(String::new(), |server| format!(" of {server}"));
        let manifest = format!("the manifest of revision {} of {}", seen.revision, seen.release);
        if seen.objects.is_empty() {
            return Verdict::fail(Reason::new(manifest, format!("objects{whose}"), "none"));
        }
        let (mut reasons, mut notes, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        let restore = format!("to restore it, run `{} upgrade {} CHART --reuse-values`", seen.helm, seen.release);
        for object in &seen.objects {
            let named = object.named();
            let mut wrong = |expected: String, found: &str, hint: &str| {
                reasons.push(Reason::new(&named, expected, found).hint(hint));
            };
            match &object.state {
                State::Missing => wrong(format!("to exist, as in {manifest}"), "not found", &restore),
                State::Unread(why) => unread.push(format!("cannot read {named}: {why}")),
                State::There { fields, differences, set } => {
                    count += fields;
                    for (difference, by) in differences {
                        let [expected, found] = difference.expected_and_seen(seen.revision);
                        if by.as_ref().is_some_and(|by| by.is_controller) {
                            notes.push(format!(
                                "{named}: changed by a controller or webhook: expected {expected}; seen: {found}"
                            ));
                        } else {
                            wrong(expected, &found, if difference.change == Change::Added { ADDED } else { &restore });
                        }
                    }
                    for field in set {
                        wrong(compare::absent(field, seen.revision), "set manually", ADDED);
                    }
                }
            }
        }
        if reasons.is_empty() && !unread.is_empty() {
            let hint = "if a permission is missing, ask for a Role that allows `get` on these kinds; if the cluster lacks \
                        a kind, fix the chart";
            return Verdict::error(
                Reason::new(manifest, "all its objects to be readable", unread.join("; ")).hint(hint),
            );
        }
        notes.extend(unread);
        if reasons.len() > MAX_REASONS {
            let more = reasons.len() - (MAX_REASONS - 1);
            reasons.truncate(MAX_REASONS - 1);
            let found = format!("{more} more differences");
            reasons.push(Reason::new(format!("the objects{whose}"), format!("to match {manifest}"), found));
        }
        let objects: Vec<String> = match seen.objects.as_slice() {
            few @ ([_] | [_, _]) => few.iter().map(Object::named).collect(),
            many => vec![format!("{} objects", many.len())],
        };
        let verb = if seen.objects.len() == 1 { "matches" } else { "match" };
        let summary = format!("{} {verb} {manifest}: {count} fields compared", objects.join(" and "));
        Verdict::judged(summary, reasons).notes(notes)
    }
}

async fn compare_all(site: &Site) -> Result<Arc<Compared>, Verdict> {
    let shared = &site.shared;
    let deployed = shared.release.as_ref().map_err(|error| site.request_failed(error))?;
    let object = format!("Helm release {}", shared.cluster.release());
    let blocked = |expected: &str, seen: String| {
        Verdict::blocked("release", Reason::new(object.clone(), expected, seen).hint("see the test of the release"))
    };
    let Some(deployed) = deployed else {
        return Err(blocked("a manifest to compare with", "no such release".to_owned()));
    };
    if deployed.is_unfinished() && !deployed.is_newest_live {
        return Err(blocked(
            "no unfinished helm command",
            format!("revision {} is {}", deployed.revision, deployed.status),
        ));
    }
    let desired = manifest::objects(&deployed.contents.manifest).map_err(|error| {
        let seen = format!("invalid YAML: {error}");
        Verdict::error(
            Reason::new(format!("the manifest of {object}"), "YAML of objects", seen).hint("report this as a bug"),
        )
    })?;
    let live = shared.cluster.live(&desired).await.map_err(|error| site.request_failed(&error))?;
    // A concurrent helm command adds its revision before it changes any object.
    let revisions = shared.cluster.revisions().await.map_err(|error| site.request_failed(&error))?;
    let newest = revisions.iter().find(|release| release.name == deployed.name);
    if newest.is_none_or(|newest| newest.revision != deployed.revision || newest.status != deployed.status) {
        let seen =
            newest.map_or("none".to_owned(), |newest| format!("revision {}, {}", newest.revision, newest.status));
        let expected = format!("revision {}, {}, as at the start of the run", deployed.revision, deployed.status);
        return Err(Verdict::error(
            Reason::new(object, expected, seen).hint("run the test again when no helm command is running"),
        ));
    }
    let objects = desired.into_iter().zip(live).map(|(desired, live)| {
        let object = Object::of(&desired, live);
        (desired, object)
    });
    Ok(Arc::new(Compared { revision: deployed.contents.revision, objects: objects.collect() }))
}

impl Object {
    fn of(desired: &Value, live: Live) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = match live {
            Live::Missing => State::Missing,
            Live::Unread(why) => State::Unread(why),
            Live::Object(live) => compare_object(desired, &live),
        };
        Self { kind: text(&desired["kind"]), name: text(&desired["metadata"]["name"]), state }
    }

    fn named(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

fn compare_object(desired: &Value, live: &Value) -> State {
    let (managers, Comparison { differences, fields, .. }) = (managers(live), compare(desired, live));
    // A manager may own a field of which only a part was compared.
    let is_known = |field: &Field| {
        let mut compared = fields.iter().chain(differences.iter().map(|difference| &difference.at));
        field.is_default || is_label_or_annotation(&field.text) || compared.any(|at| overlap(&field.text, at))
    };
    let users = managers.iter().filter(|manager| manager.owner == Owner::User);
    let set = users.flat_map(|manager| &manager.fields).filter(|field| !is_known(field));
    let set = set.map(|field| field.text.clone()).collect();
    let differences = differences.into_iter().filter_map(|difference| {
        let owner = managers.iter().find(|manager| manager.has(&difference.at)).map(|manager| manager.owner);
        // A default that replaced a zero from Helm.
        let is_filled = difference.is_unset && owner == Some(Owner::Helm);
        // A field without a manager came from an admission webhook: the API server records the managers of a request's
        // fields before webhooks change it.
        let is_from_webhook = owner.is_none() && difference.change == Change::Added && !managers.is_empty();
        let is_controller = difference.change != Change::Missing && owner == Some(Owner::Controller) || is_from_webhook;
        (!is_filled).then_some((difference, Some(Setter { is_controller })))
    });
    State::There { fields: fields.len(), differences: differences.collect(), set }
}

/// Whether a field is a label or annotation of the object or its pods, which does not change how they run.
fn is_label_or_annotation(field: &str) -> bool {
    let metadata = field.strip_prefix(".spec.template").unwrap_or(field);
    [".metadata.labels", ".metadata.annotations"].iter().any(|parent| is_within(metadata, parent))
}

/// Whether an object of the manifest belongs to a server, by its own or its pods' label, or else by its name.
fn is_of(select: &Select, server: &str, object: &Value) -> bool {
    let label = |pointer: &str| object.pointer(pointer).and_then(|labels| labels[&select.server_label].as_str());
    let places = ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector"];
    if let Some(value) = places.into_iter().find_map(label) {
        return value == server;
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name.strip_suffix(server).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
}

#[cfg(test)]
mod tests;
