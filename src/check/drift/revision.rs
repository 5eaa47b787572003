//! Whether the live objects already match a revision that Helm does not report as deployed: `helm --wait` timed out or
//! was killed, but the objects were applied.

use std::collections::BTreeSet;
use std::{mem, slice};

use serde_json::Value;

use super::compare::compare;
use crate::cluster::manifest::{self, named};
use crate::cluster::{ApiError, Cluster, Deployed, Live};

/// Finds the newest revision that the live objects match, among those that are not deployed, and makes tests judge by
/// it.
pub async fn find_live(cluster: &Cluster, deployed: &mut Deployed) -> Result<(), ApiError> {
    if !(deployed.status == "failed" || deployed.status.starts_with("pending-")) {
        return Ok(());
    }
    let was_deployed = !deployed.undeployed.is_empty();
    let older = if was_deployed { &*deployed.contents.manifest } else { "" };
    let candidates = if was_deployed { &deployed.undeployed[..] } else { slice::from_ref(&deployed.contents) };
    let (mut live_one, mut same) = (None, None);
    for newer in candidates {
        // `drift` reports an invalid manifest.
        let (Ok(newest), Ok(older)) = (manifest::objects(&newer.manifest), manifest::objects(older)) else { continue };
        if newest == older {
            same.get_or_insert_with(|| newer.clone());
            continue;
        }
        let is_gone = |object: &&Value| !newest.iter().any(|other| named(other) == named(object));
        let both: Vec<Value> = newest.iter().chain(older.iter().filter(is_gone)).cloned().collect();
        let live = cluster.live(&both).await?;
        if are_newer(&newest, &older, both.iter().zip(&live)) {
            live_one = Some(newer.clone());
            break;
        }
    }
    // A revision with the same manifest cannot be distinguished from the deployed one, so any other takes precedence.
    let live_one = live_one.or(same);
    let revision = deployed.revision;
    deployed.is_newest_live = live_one.as_ref().is_some_and(|live| live.revision == revision);
    deployed.judged_by = Some(match &live_one {
        Some(live) => format!("the live objects match revision {}; tests judge by it", live.revision),
        None if was_deployed => format!(
            "the live objects do not match revision {revision}; tests judge by revision {}, the last deployed one",
            deployed.contents.revision
        ),
        None => format!(
            "not all live objects match revision {revision}; tests judge by it, because no revision was ever deployed"
        ),
    });
    deployed.contents = live_one.unwrap_or_else(|| mem::take(&mut deployed.contents));
    Ok(())
}

/// Whether the live objects match the newer of two manifests wherever these differ.
fn are_newer<'a>(newer: &[Value], older: &[Value], live: impl Iterator<Item = (&'a Value, &'a Live)>) -> bool {
    let mut has_change = false;
    for (object, live) in live {
        let live = match live {
            Live::Object(live) => Some(live),
            Live::Missing => None,
            Live::Unread(_) => continue,
        };
        let [new, old] = [newer, older].map(|objects| objects.iter().find(|other| named(other) == named(object)));
        let (added, removed) = (differences(new, old), differences(old, new));
        let (not_new, not_old) = (differences(new, live), differences(old, live));
        // An object of both manifests that is missing was deleted by someone else.
        if not_new == not_old && live.is_none() {
            continue;
        }
        let is_old = |at: &&String| not_new.contains(*at) && !not_old.contains(*at);
        if added.iter().any(|at| is_old(&at)) || removed.difference(&added).any(|at| !not_old.contains(at)) {
            return false;
        }
        has_change |=
            added.iter().any(|at| !not_new.contains(at)) || removed.difference(&added).any(|at| not_old.contains(at));
    }
    has_change
}

/// The fields in which an object differs from a manifest's; the root if it is missing.
fn differences(desired: Option<&Value>, live: Option<&Value>) -> BTreeSet<String> {
    let Some(desired) = desired else { return BTreeSet::new() };
    let Some(live) = live else { return BTreeSet::from([String::new()]) };
    let differences = compare(desired, live).differences.into_iter();
    differences.filter(|difference| !difference.is_unset).map(|difference| difference.at).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, container: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}}})
    }

    /// Whether a Deployment with the live container matches the one with the newer container.
    fn is_newer(older: &Value, newer: &Value, live: &Value) -> bool {
        let [older, newer, live] = [older, newer, live].map(|container| object("a", container));
        are_newer(slice::from_ref(&newer), &[older], [(&newer.clone(), &Live::Object(live))].into_iter())
    }

    #[test]
    fn a_live_object_is_the_newer_if_all_its_changes_were_made() {
        let (one, two) =
            (json!({"name": "c", "image": "1", "tty": true}), json!({"name": "c", "image": "2", "tty": true}));
        let third = json!({"name": "c", "image": "3", "tty": true});
        let added = json!({"name": "c", "image": "1", "tty": true, "env": [{"name": "A", "value": "1"}]});
        let limited = json!({"name": "c", "image": "1", "tty": true, "resources": {"limits": {"memory": "1Gi"}}});
        let edited = json!({"name": "c", "image": "2", "tty": null, "stdin": true, "env": [{"name": "B"}]});
        for (what, older, newer, live, expected) in [
            ("changed", &one, &two, &two, true),
            ("not changed", &one, &two, &one, false),
            ("edited besides", &one, &two, &edited, true),
            ("edited to a third value", &one, &two, &third, false),
            ("an item was added", &one, &added, &added, true),
            ("an item was not added", &one, &added, &one, false),
            ("an item was removed", &added, &one, &one, true),
            ("an item was not removed", &added, &one, &added, false),
            ("a field was added", &one, &limited, &limited, true),
            ("a field was not added", &one, &limited, &one, false),
            ("a field was removed", &limited, &one, &one, true),
            ("a field was not removed", &limited, &one, &limited, false),
            ("half of the changes", &limited, &two, &one, false),
            ("nothing differs", &one, &one, &one, false),
        ] {
            assert_eq!(is_newer(older, newer, live), expected, "{what}");
        }
    }

    #[test]
    fn every_readable_object_counts() {
        let [one, two] = ["1", "2"].map(|image| json!({"name": "c", "image": image}));
        let of = |a: &Value, b: &Value| vec![object("a", a), object("b", b)];
        let (older, newer) = (of(&one, &one), of(&two, &two));
        let judged = |older: &[Value], newer: &[Value], live: [Live; 2]| {
            are_newer(newer, older, of(&two, &two).iter().zip(&live))
        };
        let live = |container: &Value| Live::Object(object("", container));
        assert!(judged(&older, &newer, [live(&two), live(&two)]));
        assert!(!judged(&older, &newer, [live(&two), live(&one)]), "only half was applied");
        assert!(judged(&older, &newer, [live(&two), Live::Missing]), "someone deleted it");
        assert!(!judged(&older, &newer, [Live::Missing, Live::Missing]));
        assert!(judged(&older, &newer, [live(&two), Live::Unread(String::new())]));
        assert!(!judged(&older, &newer, [Live::Unread(String::new()), Live::Unread(String::new())]));
        assert!(judged(&older, &newer[..1], [live(&two), Live::Missing]), "the other was removed");
        assert!(!judged(&older, &newer[..1], [live(&two), live(&one)]), "the other was not removed");
        assert!(judged(&[], &newer, [live(&two), live(&two)]), "the first revision");
        assert!(!judged(&[], &newer, [live(&two), Live::Missing]));
    }
}
