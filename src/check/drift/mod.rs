//! `drift`: the live objects are what the release's manifest says, and nobody added to them by hand.
//!
//! Compares in observing: what is kept is what differs, and no object, whose variables may hold secrets.

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

use compare::{Comparison, Difference, How, compare};
use managers::{Field, Who, managers};
use path::{is_within, overlap};

/// The most differences that a verdict names.
const REASONS: usize = 20;
/// What to do about what was added.
const LEFT: &str = "helm upgrade leaves it: remove it with kubectl edit";

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drift {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    release: String,
    /// `None` for the whole.
    server: Option<String>,
    revision: u64,
    objects: Vec<Object>,
}

/// An object of the manifest, beside the live one.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Object {
    kind: String,
    name: String,
    state: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    Missing,
    /// It could not be looked at: why.
    Unread(String),
    There {
        /// How many fields were compared.
        fields: usize,
        differences: Vec<(Difference, Option<Setter>)>,
        /// What a person has set that the manifest says nothing of.
        set: Vec<String>,
    },
}

/// Who set a field, where that is known.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Setter {
    /// Nobody's hand was in it: an autoscaler or a webhook works as it was told.
    is_controller: bool,
}

/// What the manifest of a revision says, compared once in a run.
struct Looked {
    revision: u64,
    objects: Vec<(Value, Object)>,
}

impl Kind for Drift {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::Any;
    const NEEDS: &'static [Need] = &[Need::Release, Need::Services];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let looked: Result<Arc<Looked>, Verdict> = site.shared.once("drift", Box::pin(look(site))).await;
        let looked = looked?;
        let server = site.id.server.clone();
        let is_asked = |object: &Value| server.as_ref().is_none_or(|server| is_of(&site.system.pods, server, object));
        let asked = looked.objects.iter().filter(|(said, _)| is_asked(said));
        let objects = asked.map(|(_, object)| object.clone()).collect();
        let release = site.shared.cluster.release().to_owned();
        Ok(Observation { release, revision: looked.revision, objects, server })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let whose = seen.server.as_ref().map_or(String::new(), |server| format!(" of {server}"));
        let manifest = format!("the manifest of revision {} of {}", seen.revision, seen.release);
        if seen.objects.is_empty() {
            let what = "none: there is nothing to compare";
            return Verdict::fail(Reason::new(manifest, format!("objects{whose}"), what));
        }
        let (mut reasons, mut notes, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        let back = format!("`helm upgrade {} CHART --reuse-values` puts it back", seen.release);
        for object in &seen.objects {
            let named = object.named();
            let mut wrong = |expected: String, what: &str, hint: &str| {
                reasons.push(Reason::new(&named, expected, what).hint(hint));
            };
            match &object.state {
                State::Missing => wrong(format!("to be there, as in {manifest}"), "it does not exist", &back),
                State::Unread(why) => unread.push(format!("not compared: {named}: {why}")),
                State::There { fields, differences, set } => {
                    count += fields;
                    for (difference, by) in differences {
                        let [expected, what] = difference.words(seen.revision);
                        if by.as_ref().is_some_and(|by| by.is_controller) {
                            notes.push(format!("{named}: expected {expected}; a controller or webhook set {what}"));
                        } else {
                            wrong(expected, &what, if difference.how == How::Added { LEFT } else { &back });
                        }
                    }
                    for field in set {
                        wrong(compare::absent(field, seen.revision), "it was set by hand", LEFT);
                    }
                }
            }
        }
        if reasons.is_empty() && !unread.is_empty() {
            let hint = "where a permission lacks, ask for a Role that allows `get` on these kinds; one that the cluster does \
                        not have cannot be there: mend the chart";
            return Verdict::error(Reason::new(manifest, "its objects to be readable", unread.join("; ")).hint(hint));
        }
        notes.extend(unread);
        if reasons.len() > REASONS {
            let more = reasons.len() - (REASONS - 1);
            reasons.truncate(REASONS - 1);
            let what = format!("{more} more differences");
            reasons.push(Reason::new(format!("the objects{whose}"), format!("to be as in {manifest}"), what));
        }
        let objects: Vec<String> = match seen.objects.as_slice() {
            few @ ([_] | [_, _]) => few.iter().map(Object::named).collect(),
            many => vec![format!("{} objects", many.len())],
        };
        let are = if seen.objects.len() == 1 { "is" } else { "are" };
        let summary = format!("{} {are} as {manifest} says: {count} fields compared", objects.join(" and "));
        Verdict::judged(summary, reasons).notes(notes)
    }
}

async fn look(site: &Site) -> Result<Arc<Looked>, Verdict> {
    let shared = &site.shared;
    let deployed = shared.release.as_ref().map_err(|error| site.no_answer(error))?;
    let object = format!("Helm release {}", shared.cluster.release());
    let blocked = |expected: &str, seen: String| {
        Verdict::blocked("release", Reason::new(object.clone(), expected, seen).hint("see the test of the release"))
    };
    let Some(deployed) = deployed else {
        return Err(blocked("a manifest to compare with", "Helm does not know it".to_owned()));
    };
    // A helm is at work, or was killed.
    let is_moving = deployed.status.starts_with("pending-") || deployed.status == "uninstalling";
    if is_moving && !deployed.is_newest_live {
        return Err(blocked("no helm at work", format!("revision {} is {}", deployed.revision, deployed.status)));
    }
    let said = manifest::objects(&deployed.contents.manifest).map_err(|error| {
        let seen = format!("it cannot be read: {error}");
        Verdict::error(Reason::new(format!("the manifest of {object}"), "YAML of objects", seen).hint("report this"))
    })?;
    let live = shared.cluster.live(&said).await.map_err(|error| site.no_answer(&error))?;
    // Who upgrades meanwhile has begun with a new revision before any object is another one.
    let revisions = shared.cluster.revisions().await.map_err(|error| site.no_answer(&error))?;
    let newest = revisions.iter().find(|release| release.name == deployed.name);
    if newest.is_none_or(|newest| newest.revision != deployed.revision || newest.status != deployed.status) {
        let seen =
            newest.map_or("none".to_owned(), |newest| format!("revision {}, {}", newest.revision, newest.status));
        let expected = format!("revision {}, {}, as at the start of the run", deployed.revision, deployed.status);
        return Err(Verdict::error(Reason::new(object, expected, seen).hint("run again when no helm is at work")));
    }
    let objects = said.into_iter().zip(live).map(|(said, live)| {
        let object = Object::of(&said, live);
        (said, object)
    });
    Ok(Arc::new(Looked { revision: deployed.contents.revision, objects: objects.collect() }))
}

impl Object {
    fn of(said: &Value, live: Live) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = match live {
            Live::Missing => State::Missing,
            Live::Unread(why) => State::Unread(why),
            Live::Object(live) => beside(said, &live),
        };
        Self { kind: text(&said["kind"]), name: text(&said["metadata"]["name"]), state }
    }

    fn named(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// What is known of a live object beside what the manifest says of it.
fn beside(said: &Value, live: &Value) -> State {
    let (managers, Comparison { differences, places, .. }) = (managers(live), compare(said, live));
    // A manager may own a whole of which only a part is compared.
    let is_known = |field: &Field| {
        let mut compared = places.iter().chain(differences.iter().map(|difference| &difference.at));
        field.is_default || is_mark(&field.text) || compared.any(|place| overlap(&field.text, place))
    };
    let persons = managers.iter().filter(|manager| manager.who == Who::Person);
    let set = persons.flat_map(|manager| &manager.fields).filter(|field| !is_known(field));
    let set = set.map(|field| field.text.clone()).collect();
    let differences = differences.into_iter().filter_map(|difference| {
        let who = managers.iter().find(|manager| manager.has(&difference.at)).map(|manager| manager.who);
        // A default in the place of a zero that helm has sent.
        let is_filled = difference.is_unset && who == Some(Who::Helm);
        // What is nobody's came from a webhook: the API server notes who set a field before webhooks change a
        // request, and a person's always.
        let is_admitted = who.is_none() && difference.how == How::Added && !managers.is_empty();
        let is_controller = difference.how != How::Missing && who == Some(Who::Controller) || is_admitted;
        (!is_filled).then_some((difference, Some(Setter { is_controller })))
    });
    State::There { fields: places.len(), differences: differences.collect(), set }
}

/// Whether a field is a label or an annotation, of the object or of its pods: nothing runs otherwise because of it.
fn is_mark(field: &str) -> bool {
    let metadata = field.strip_prefix(".spec.template").unwrap_or(field);
    [".metadata.labels", ".metadata.annotations"].iter().any(|marks| is_within(metadata, marks))
}

/// Whether an object of the manifest is a server's: its own label says so, or its pods', or else its name.
fn is_of(select: &Select, server: &str, object: &Value) -> bool {
    let label = |pointer: &str| object.pointer(pointer).and_then(|labels| labels[&select.server_label].as_str());
    let places = ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector"];
    if let Some(said) = places.into_iter().find_map(label) {
        return said == server;
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name.strip_suffix(server).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
}

#[cfg(test)]
mod tests;
