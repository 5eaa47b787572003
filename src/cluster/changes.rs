//! What an upgrade changed: two revisions of a release side by side, and the pods that were made since. Pure, but for
//! reading them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;

use super::manifest::{self, key, named, text, told};
use super::object::requests;
use super::release::{self, Payload};
use super::server::{has_ended, is_terminating};
use super::{ApiError, Cluster, Release};

/// The most lines about what changed.
const LINES: usize = 30;
/// The most objects that a line names.
const NAMES: usize = 3;

impl Cluster {
    /// What changed from the last but one to the last revision that was deployed, in lines; of the release under test,
    /// of which these are revisions, newest first.
    pub async fn changes(&self, revisions: &[Release]) -> Result<Vec<String>, ApiError> {
        let own: Vec<&Release> = revisions.iter().filter(|release| release.name == self.release()).collect();
        let with_newest = |line: String| [line].into_iter().chain(left_out(&own)).collect::<Vec<_>>();
        let mut deployed = own.iter().copied().filter(|release| was_deployed(release));
        let Some(after) = deployed.next() else {
            return Ok(with_newest(format!("no revision of {} was deployed", self.release())));
        };
        let Some(before) = deployed.next() else {
            return Ok(with_newest(format!("revision {} is the only one that was deployed", after.revision)));
        };
        let payload = |release| release::payload(&self.client, &self.target, release);
        let (old, new) = tokio::try_join!(payload(before), payload(after))?;
        let params = ListParams::default().labels(&selector(&new));
        let pods = self.list("pods", &requests::<Pod>(Some(self.namespace())), &params).await?;
        let mut lines = with_newest(format!("revision {} -> {}", before.revision, after.revision));
        match changes(&old.json, &new.json) {
            Ok(changes) if changes.is_empty() => lines.push("no value and no object differs".to_owned()),
            Ok(changes) => lines.extend(changes),
            Err(error) => lines.push(format!("the manifests cannot be compared: {error}")),
        }
        lines.extend(made_since(&pods, &new).map(|pods| format!("pods made since: {pods}")));
        Ok(lines)
    }
}

/// Whether a revision was deployed: a superseded one was, until the next was.
fn was_deployed(release: &Release) -> bool {
    matches!(release.status.as_str(), "deployed" | "superseded")
}

/// Says that the newest revision, such as one that failed, is not what is compared.
fn left_out(own: &[&Release]) -> Option<String> {
    let newest = own.first().filter(|newest| !was_deployed(newest))?;
    Some(format!("revision {} is `{}`, and not in this", newest.revision, newest.status))
}

/// What differs between the payloads of two revisions: the chart, the values, the objects.
fn changes(old: &Value, new: &Value) -> anyhow::Result<Vec<String>> {
    let chart = |payload: &Value| {
        let part = |name: &str| payload["chart"]["metadata"][name].as_str().unwrap_or("?").to_owned();
        format!("{}-{}", part("name"), part("version"))
    };
    let mut lines = Vec::new();
    if chart(old) != chart(new) {
        lines.push(format!("chart: {} -> {}", chart(old), chart(new)));
    }
    let [before, after] = [old, new].map(values);
    lines
        .extend(differences([Some(&before), Some(&after)], "values").into_iter().map(|line| format!("values: {line}")));
    let [before, after] = [objects(old)?, objects(new)?];
    let mut added = Vec::new();
    // Seven servers that change alike are one line.
    let mut changed: Vec<(String, String, Vec<String>)> = Vec::new();
    for new in &after {
        let Some(old) = before.iter().find(|old| is_same(old, new)) else {
            added.push(format!("added: {}", named(new)));
            continue;
        };
        let (kind, name) = (text(&new["kind"]), text(&new["metadata"]["name"]));
        for line in differences([Some(old), Some(new)], &kind) {
            match changed.iter_mut().find(|(of, its, _)| *of == kind && *its == line) {
                Some((.., names)) => names.push(name.clone()),
                None => changed.push((kind.clone(), line, vec![name.clone()])),
            }
        }
    }
    let removed = before.iter().filter(|old| !after.iter().any(|new| is_same(old, new)));
    lines.extend(removed.map(|old| format!("removed: {}", named(old))));
    lines.extend(added);
    lines.extend(changed.into_iter().map(|(kind, line, names)| format!("{kind} {}: {line}", counted(&names))));
    if lines.len() > LINES {
        let left = lines.len() - (LINES - 1);
        lines.truncate(LINES - 1);
        lines.push(format!("and {left} more changes"));
    }
    Ok(lines)
}

/// The values that a revision had: the chart's defaults under those that it was given.
fn values(payload: &Value) -> Value {
    let mut values = payload["chart"]["values"].clone();
    if payload["config"].is_object() {
        json_patch::merge(&mut values, &payload["config"]);
    }
    values
}

fn objects(payload: &Value) -> anyhow::Result<Vec<Value>> {
    manifest::objects(payload["manifest"].as_str().unwrap_or_default())
}

fn is_same(one: &Value, other: &Value) -> bool {
    let same = |pointer: &str| one.pointer(pointer) == other.pointer(pointer);
    same("/kind") && same("/metadata/name") && same("/metadata/namespace")
}

/// What differs between two values, in lines with the place of each.
fn differences(values: [Option<&Value>; 2], what: &str) -> Vec<String> {
    let mut walk = Walk { is_secret: what == "Secret", lines: Vec::new() };
    walk.differ("", "", values);
    walk.lines
}

/// A walk through two values at the same time.
struct Walk {
    /// Nothing of the values is shown.
    is_secret: bool,
    lines: Vec<String>,
}

impl Walk {
    /// Notes what differs below a place; `name` is the last name in it.
    fn differ(&mut self, place: &str, name: &str, values: [Option<&Value>; 2]) {
        let values = values.map(|value| value.filter(|value| !value.is_null()));
        match values {
            [before, after] if before == after => {}
            [Some(Value::Object(before)), Some(Value::Object(after))] => {
                let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
                for inner in names {
                    let below = match (place, inner.as_str()) {
                        ("", inner) => inner.to_owned(),
                        // A variable is its value.
                        (place, "value") if name == "env" => place.to_owned(),
                        (place, inner) => format!("{place}.{inner}"),
                    };
                    self.differ(&below, inner, [before.get(inner), after.get(inner)]);
                }
            }
            [Some(Value::Array(before)), Some(Value::Array(after))] => {
                match (by_key(name, before), by_key(name, after)) {
                    (Some(before), Some(after)) => self.items(place, name, &before, &after),
                    _ if before.len() == after.len() => {
                        for (index, (before, after)) in before.iter().zip(after).enumerate() {
                            self.differ(&format!("{place}[{index}]"), name, [Some(before), Some(after)]);
                        }
                    }
                    _ => self.say(place, values),
                }
            }
            values => self.say(place, values),
        }
    }

    /// The same of two lists whose items have names.
    fn items(&mut self, place: &str, name: &str, before: &[(String, &Value)], after: &[(String, &Value)]) {
        let find = |items: &[(String, &'_ Value)], key: &str| items.iter().position(|(own, _)| own == key);
        for (key, item) in before {
            let other = find(after, key).map(|index| after[index].1);
            self.differ(&format!("{place}[{key}]"), name, [Some(item), other]);
        }
        for (key, item) in after.iter().filter(|(key, _)| find(before, key).is_none()) {
            self.differ(&format!("{place}[{key}]"), name, [None, Some(item)]);
        }
        // They run one after another.
        if name == "initContainers" {
            let order = |items: &[(String, &Value)], others: &[(String, &Value)]| -> Vec<String> {
                items.iter().map(|(key, _)| key.clone()).filter(|key| find(others, key).is_some()).collect()
            };
            let (old, new) = (order(before, after), order(after, before));
            if old != new {
                self.lines.push(format!("{place} in another order: {} -> {}", old.join(", "), new.join(", ")));
            }
        }
    }

    fn say(&mut self, place: &str, values: [Option<&Value>; 2]) {
        let said = told(place, values).filter(|_| !self.is_secret);
        self.lines.push(match (values, said) {
            ([None, Some(Value::Object(_) | Value::Array(_))], _) => format!("{place} added"),
            ([Some(Value::Object(_) | Value::Array(_)), None], _) => format!("{place} removed"),
            (_, Some([before, after])) => format!("{place} {before} -> {after}"),
            (_, None) => format!("{place} changed"),
        });
    }
}

/// The items of a list by what tells them apart; `None` if that does not.
fn by_key<'a>(list: &str, items: &'a [Value]) -> Option<Vec<(String, &'a Value)>> {
    let items: Vec<_> = items.iter().map(|item| Some((text(key(list, item)?.1), item))).collect::<Option<_>>()?;
    let names: BTreeSet<&String> = items.iter().map(|(key, _)| key).collect();
    (names.len() == items.len()).then_some(items)
}

/// Names, the first few of them.
fn counted(names: &[String]) -> String {
    if names.len() <= NAMES {
        return names.join(", ");
    }
    format!("{} and {} more", names[..NAMES].join(", "), names.len() - NAMES)
}

/// A selector of the labels that all pods of a revision have, and those of the revisions before it: what Deployments select by
/// cannot be changed.
fn selector(revision: &Payload) -> String {
    let objects = objects(&revision.json).unwrap_or_default();
    let labels = objects.iter().filter_map(|object| object.pointer("/spec/selector/matchLabels")?.as_object());
    let all: Vec<BTreeSet<String>> =
        labels.map(|labels| labels.iter().map(|(key, value)| format!("{key}={}", text(value))).collect()).collect();
    let mut shared = all.first().cloned().unwrap_or_default();
    shared.retain(|label| all.iter().all(|labels| labels.contains(label)));
    shared.into_iter().collect::<Vec<_>>().join(",")
}

/// Which of the pods that the release's objects own were made since its revision; `None` where nobody knows.
fn made_since(pods: &[Pod], revision: &Payload) -> Option<String> {
    let begun = revision.begun?;
    let objects = objects(&revision.json).ok()?;
    let owns = |kind: &str, name: &str| {
        objects.iter().any(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    };
    let is_own = |pod: &&Pod| {
        pod.owner_references().iter().any(|owner| match owner.kind.as_str() {
            // Its name is the Deployment's with a hash.
            "ReplicaSet" => owner.name.rsplit_once('-').is_some_and(|(name, _)| owns("Deployment", name)),
            kind => owns(kind, &owner.name),
        })
    };
    let own: Vec<&Pod> = pods.iter().filter(is_own).filter(|pod| !is_terminating(pod) && !has_ended(pod)).collect();
    let is_new = |pod: &&&Pod| pod.metadata.creation_timestamp.as_ref().is_some_and(|created| created.0 >= begun);
    let mut names: Vec<String> = own.iter().filter(is_new).map(|pod| pod.name_any()).collect();
    names.sort_unstable();
    Some(match names.len() {
        0 => format!("none of {}", own.len()),
        count => format!("{count} of {}: {}", own.len(), names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str, interval: &str) -> Value {
        let env = json!([{"name": "SYNC_INTERVAL", "value": interval}, {"name": "DB_PASSWORD", "value": interval}]);
        let init = json!([{"name": "first"}, {"name": "sync", "env": env, "args": ["a\n", "b\n", interval]}]);
        json!({"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": {"initContainers": init}}}})
    }

    fn payload(values: &Value, objects: &[Value]) -> Value {
        let manifest: Vec<String> = objects.iter().map(ToString::to_string).collect();
        let manifest = manifest.join("\n---\n");
        json!({"chart": {"metadata": {"name": "c", "version": "1"}, "values": {"global": {"interval": 30}, "token": "t"}},
            "config": values, "manifest": manifest})
    }

    #[test]
    fn values_and_objects_stand_side_by_side_and_no_secret_with_them() {
        let service = json!({"kind": "Service", "metadata": {"name": "s"}});
        let secret = |value: &str| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": value}});
        let old = [deployment("a", "30"), deployment("b", "30"), service, secret("b2xk")];
        let old = payload(&Value::Null, &old);
        let new = [deployment("a", "5"), deployment("b", "5"), deployment("c", "5"), secret("bmV3")];
        let new = payload(&json!({"global": {"interval": 5}, "token": "u"}), &new);
        let place = "Deployment a, b: spec.template.spec.initContainers[sync]";
        assert_eq!(
            changes(&old, &new).unwrap(),
            [
                "values: global.interval 30 -> 5",
                "values: token changed",
                "removed: Service s",
                "added: Deployment c",
                &format!("{place}.args[2] 30 -> 5"),
                &format!("{place}.env[SYNC_INTERVAL] 30 -> 5"),
                &format!("{place}.env[DB_PASSWORD] changed"),
                "Secret s: data.key changed",
            ]
        );
        assert!(changes(&old, &old).unwrap().is_empty());
        assert!(changes(&json!({}), &json!({})).unwrap().is_empty());
    }

    #[test]
    fn items_are_added_removed_and_in_another_order() {
        let mut new = deployment("a", "5");
        let list = "/spec/template/spec/initContainers";
        new.pointer_mut(list).unwrap().as_array_mut().unwrap().swap(0, 1);
        new.pointer_mut(list).unwrap().as_array_mut().unwrap().push(json!({"name": "third"}));
        let lines = differences([Some(&deployment("a", "5")), Some(&new)], "Deployment");
        let place = "spec.template.spec.initContainers";
        assert_eq!(
            lines,
            [format!("{place}[third] added"), format!("{place} in another order: first, sync -> sync, first")]
        );
    }

    #[test]
    fn there_is_a_bound() {
        let list = |tag: &str| payload(&(0..99).map(|number| (format!("k{number}"), json!(tag))).collect(), &[]);
        let lines = changes(&list("a"), &list("b")).unwrap();
        assert!(lines.len() == LINES && lines[LINES - 1] == "and 70 more changes", "{lines:?}");
    }

    #[test]
    fn pods_of_the_releases_objects_are_told_by_when_they_were_made() {
        let pod = |name: &str, owner: &str, created: &str| -> Pod {
            let owner = json!({"kind": "ReplicaSet", "name": owner, "apiVersion": "apps/v1", "uid": "u"});
            let metadata = json!({"name": name, "creationTimestamp": created, "ownerReferences": [owner]});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let (old, new) = ("2026-11-21T03:00:00Z", "2026-11-21T04:00:00Z");
        let json = payload(&Value::Null, &[deployment("nas-a", "5")]);
        let revision = Payload { json, begun: new.parse().ok() };
        let pods = [pod("nas-a-1-x", "nas-a-1", old), pod("nas-a-2-y", "nas-a-2", new), pod("other", "other-1", new)];
        assert_eq!(made_since(&pods, &revision).unwrap(), "1 of 2: nas-a-2-y");
        assert_eq!(made_since(&pods[..1], &revision).unwrap(), "none of 1");
        let mut evicted = pods.clone();
        evicted[1].status = serde_json::from_value(json!({"phase": "Failed", "reason": "Evicted"})).unwrap();
        assert_eq!(made_since(&evicted, &revision).unwrap(), "none of 1", "one that has ended is no server");
    }

    #[test]
    fn a_newest_revision_that_was_not_deployed_is_said_to_be_left_out() {
        let release = |revision, status: &str| Release { name: "r".into(), revision, status: status.into() };
        let said = |statuses: [&str; 2]| {
            let [newest, before] = [release(3, statuses[0]), release(2, statuses[1])];
            left_out(&[&newest, &before])
        };
        assert_eq!(said(["failed", "deployed"]).unwrap(), "revision 3 is `failed`, and not in this");
        assert!(said(["pending-upgrade", "deployed"]).unwrap().contains("`pending-upgrade`"));
        assert_eq!([said(["deployed", "failed"]), said(["superseded", "deployed"])], [None, None]);
        assert_eq!(left_out(&[]), None);
    }
}
