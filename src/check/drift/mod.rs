//! `drift`: the live objects are what the release's manifest says, and nobody added to them by hand.
//!
//! Compares in observing: what is kept is what differs, and no object, whose variables may hold secrets.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Need, Site, Subject};
use crate::cluster::manifest::{self, named};
use crate::cluster::{Deployed, Live, Select};
use crate::event::{Reason, Verdict};

mod compare;
mod default;
mod managers;
mod path;
pub mod revision;
mod words;

use compare::{Difference, How, compare};
use managers::{Field, Manager, managers};

/// The most differences that a verdict names.
const REASONS: usize = 20;
/// kubectl's own bookkeeping.
const BOOKKEEPING: &str = r".metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration";

/// It has no parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drift {}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    context: String,
    namespace: String,
    release: String,
    /// `None` for the whole.
    server: Option<String>,
    /// The revision whose manifest was compared.
    revision: u64,
    /// The newest revision, and Helm's word for it.
    newest: (u64, String),
    objects: Vec<Compared>,
    /// Objects of this release, as they say, that the manifest does not have.
    left: Vec<String>,
}

/// An object of the manifest.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Compared {
    kind: String,
    name: String,
    /// The namespace that it is in, if the manifest says one.
    namespace: Option<String>,
    state: State,
}

/// What was found of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    /// It is not there.
    Missing,
    /// It could not be looked at: why.
    Unread(String),
    /// It is there.
    There {
        /// How many fields were compared.
        fields: usize,
        differences: Vec<(Difference, Option<Setter>)>,
        /// What somebody has set that the manifest says nothing of.
        set: Vec<(Setter, Vec<String>)>,
    },
}

/// Who set a field.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Setter {
    /// Its name and when.
    who: String,
    is_helm: bool,
    is_controller: bool,
}

impl From<&Manager> for Setter {
    fn from(manager: &Manager) -> Self {
        Self { who: manager.describe(), is_helm: manager.is_helm(), is_controller: manager.is_controller() }
    }
}

impl Setter {
    /// Who added what is nobody's: the API server notes who set a field before webhooks change a request, and a person's
    /// always.
    fn admission() -> Self {
        Self { who: "an admission webhook, as nobody is noted for it".to_owned(), is_helm: false, is_controller: true }
    }
}

/// What the manifest says and what there is, compared once in a run.
struct Looked {
    deployed: Deployed,
    objects: Vec<(Value, Compared)>,
    left: Vec<String>,
}

impl Kind for Drift {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::Any;
    const NEEDS: &'static [Need] = &[Need::Release, Need::Services];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let cluster = &site.shared.cluster;
        let looked: Result<Arc<Looked>, Verdict> = site.shared.once("drift", Box::pin(look(site))).await;
        let looked = looked?;
        let server = site.id.server.clone();
        let is_asked = |object: &Value| server.as_ref().is_none_or(|server| is_of(&site.select, server, object));
        let objects = looked.objects.iter().filter(|(object, _)| is_asked(object));
        Ok(Observation {
            context: cluster.context().to_owned(),
            namespace: cluster.namespace().to_owned(),
            release: cluster.release().to_owned(),
            revision: looked.deployed.contents.revision,
            newest: (looked.deployed.revision, looked.deployed.status.clone()),
            objects: objects.map(|(_, compared)| compared.clone()).collect(),
            left: if server.is_none() { looked.left.clone() } else { Vec::new() },
            server,
        })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let whose = seen.server.as_ref().map_or(String::new(), |server| format!(" of {server}"));
        let manifest = format!("the manifest of revision {} of {}", seen.revision, seen.release);
        if seen.objects.is_empty() {
            let what = "none: there is nothing to compare";
            return Verdict::judged("", vec![Reason::new(manifest, format!("objects{whose}"), what)]);
        }
        let (mut reasons, mut notes) = (Vec::new(), Vec::new());
        let (mut count, mut unread) = (0, Vec::new());
        for object in &seen.objects {
            let named = format!("{} {}", object.kind, object.name);
            match &object.state {
                State::Missing => {
                    let hint = format!("`{}` makes it again", seen.upgrade());
                    let expected = format!("to be there, as in {manifest}");
                    reasons.push(Reason::new(named, expected, "it does not exist").hint(hint));
                }
                State::Unread(why) => unread.push(format!("not compared: {named}: {why}")),
                State::There { fields, differences, set } => {
                    count += fields;
                    for (difference, by) in differences {
                        seen.tell(object, difference, by.as_ref(), &mut reasons, &mut notes);
                    }
                    for (setter, fields) in set {
                        seen.set(object, setter, fields, &mut reasons, &mut notes);
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
        let left =
            |name: &String| format!("{name} says it is of release {}, and {manifest} does not have it", seen.release);
        notes.extend(seen.left.iter().map(left));
        if reasons.len() > REASONS {
            let more = reasons.len() - (REASONS - 1);
            reasons.truncate(REASONS - 1);
            let what = format!("{more} more differences");
            reasons.push(Reason::new(format!("the objects{whose}"), format!("to be as in {manifest}"), what));
        }
        let objects: Vec<String> = match seen.objects.as_slice() {
            few @ ([_] | [_, _]) => few.iter().map(|object| format!("{} {}", object.kind, object.name)).collect(),
            many => vec![format!("{} objects", many.len())],
        };
        let are = if seen.objects.len() == 1 { "is" } else { "are" };
        let summary = format!("{} {are} as {manifest} says: {count} fields compared", objects.join(" and "));
        Verdict::judged(summary, reasons).notes(notes)
    }
}

/// Compares all objects of the manifest.
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
    if is_moving(&deployed.status) && !deployed.is_newest_live {
        return Err(blocked("no helm at work", format!("revision {} is {}", deployed.revision, deployed.status)));
    }
    let said = manifest::objects(&deployed.contents.manifest).map_err(|error| {
        let seen = format!("it cannot be read: {error}");
        Verdict::error(Reason::new(format!("the manifest of {object}"), "YAML of objects", seen).hint("report this"))
    })?;
    let (live, others) = shared.cluster.live(&said).await.map_err(|error| site.no_answer(&error))?;
    // Who upgrades meanwhile has begun with a new revision before any object is another one.
    let revisions = shared.cluster.revisions().await.map_err(|error| site.no_answer(&error))?;
    let newest = revisions.iter().find(|release| release.name == deployed.name);
    if newest.is_none_or(|newest| newest.revision != deployed.revision || newest.status != deployed.status) {
        let seen =
            newest.map_or("none".to_owned(), |newest| format!("revision {}, {}", newest.revision, newest.status));
        let expected = format!("revision {}, {}, as at the start of the run", deployed.revision, deployed.status);
        return Err(Verdict::error(Reason::new(object, expected, seen).hint("run again when no helm is at work")));
    }
    let compared = said.iter().zip(live).map(|(said, live)| compared(said, live)).collect::<Vec<_>>();
    let is_left = |object: &&Value| {
        let annotation = &object["metadata"]["annotations"]["meta.helm.sh/release-name"];
        *annotation == deployed.name
    };
    let left = others.iter().filter(is_left).map(named).collect();
    Ok(Arc::new(Looked { deployed: deployed.clone(), objects: said.into_iter().zip(compared).collect(), left }))
}

/// Whether a helm is at work, or was killed.
fn is_moving(status: &str) -> bool {
    status.starts_with("pending-") || status == "uninstalling"
}

/// An object of the manifest beside the live one.
fn compared(said: &Value, live: Live) -> Compared {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let state = match live {
        Live::Missing => State::Missing,
        Live::Unread(why) => State::Unread(why),
        Live::Object(live) => {
            let managers = managers(&live);
            let compare::Compared { differences, places, .. } = compare(said, &live);
            // A manager may own a whole of which only a part is compared.
            let is_in = |field: &str, place: &str| path::is_within(field, place) || path::is_within(place, field);
            let is_known = |field: &Field| {
                field.is_default
                    || field.text == BOOKKEEPING
                    || differences.iter().any(|difference| is_in(&field.text, &difference.at))
                    || places.iter().any(|place| is_in(&field.text, place))
            };
            let others = managers.iter().filter(|manager| !manager.is_helm() && !manager.is_controller());
            let set = others.filter_map(|manager| {
                let fields = manager.fields.iter().filter(|field| !is_known(field));
                let fields: Vec<String> = fields.map(|field| field.text.clone()).collect();
                (!fields.is_empty()).then(|| (Setter::from(manager), fields))
            });
            let set = set.collect();
            let by = |difference: &Difference| {
                let setter = managers.iter().find(|manager| manager.has(&difference.at)).map(Setter::from);
                let is_admitted = setter.is_none() && difference.how == How::Added && !managers.is_empty();
                setter.or(is_admitted.then(Setter::admission)).filter(|_| difference.how != How::Missing)
            };
            let differences = differences.into_iter().filter_map(|difference| {
                let by = by(&difference);
                // A default in the place of a zero that helm has sent.
                let is_filled = difference.is_unset && by.as_ref().is_some_and(|by| by.is_helm);
                (!is_filled).then_some((difference, by))
            });
            State::There { fields: places.len(), differences: differences.collect(), set }
        }
    };
    Compared {
        kind: text(&said["kind"]).unwrap_or_default(),
        name: text(&said["metadata"]["name"]).unwrap_or_default(),
        namespace: text(&said["metadata"]["namespace"]),
        state,
    }
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
