//! Whether live objects are already those of a revision that Helm does not call deployed: `helm --wait` gave up, or was killed,
//! and they came up all the same.

use std::collections::BTreeSet;
use std::{mem, slice};

use serde_json::Value;

use super::compare::compare;
use crate::cluster::manifest::{self, named};
use crate::cluster::{ApiError, Cluster, Deployed, Live};

/// Compares the live objects with the revisions that are not deployed, and judges by the newest of them that they are.
///
/// # Errors
/// The objects could not be listed.
pub async fn settle(cluster: &Cluster, deployed: &mut Deployed) -> Result<(), ApiError> {
    if !(deployed.status == "failed" || deployed.status.starts_with("pending-")) {
        return Ok(());
    }
    let was_any = !deployed.undeployed.is_empty();
    let older = if was_any { &*deployed.contents.manifest } else { "" };
    let all = if was_any { &deployed.undeployed[..] } else { slice::from_ref(&deployed.contents) };
    let (mut live_one, mut same) = (None, None);
    for newer in all {
        // What is wrong with a manifest is `drift`'s to say.
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
    // Of one with the deployed manifest it is not seen whose the objects are: any other comes first.
    let live_one = live_one.or(same);
    let revision = deployed.revision;
    deployed.is_newest_live = live_one.as_ref().is_some_and(|live| live.revision == revision);
    deployed.judged_by = Some(match &live_one {
        Some(live) => format!("the live objects are revision {}'s; tests judge by it", live.revision),
        None if was_any => format!(
            "the live objects are not revision {revision}'s; tests judge by revision {}, the last that was deployed",
            deployed.contents.revision
        ),
        None => {
            format!("the live objects are not all revision {revision}'s; tests judge by it, as none was ever deployed")
        }
    });
    deployed.contents = live_one.unwrap_or_else(|| mem::take(&mut deployed.contents));
    Ok(())
}

/// Whether live objects are those of the newer of two manifests: wherever these differ, they are as the newer says.
fn are_newer<'a>(newer: &[Value], older: &[Value], live: impl Iterator<Item = (&'a Value, &'a Live)>) -> bool {
    let mut is_seen = false;
    for (object, live) in live {
        let live = match live {
            Live::Object(live) => Some(live),
            Live::Missing => None,
            Live::Unread(_) => continue,
        };
        let [new, old] = [newer, older].map(|objects| objects.iter().find(|other| named(other) == named(object)));
        let (asked, left) = (differences(new, old), differences(old, new));
        let (lacks, lost) = (differences(new, live), differences(old, live));
        // That an object is gone that both have, or a third value, is somebody else's doing.
        if lacks == lost && live.is_none() {
            continue;
        }
        let is_old = |at: &&String| lacks.contains(*at) && !lost.contains(*at);
        if asked.iter().any(|at| is_old(&at)) || left.difference(&asked).any(|at| !lost.contains(at)) {
            return false;
        }
        is_seen |= asked.iter().any(|at| !lacks.contains(at)) || left.difference(&asked).any(|at| lost.contains(at));
    }
    is_seen
}

/// Where an object is not as a manifest says; the whole of it if it is not there.
fn differences(said: Option<&Value>, live: Option<&Value>) -> BTreeSet<String> {
    let Some(said) = said else { return BTreeSet::new() };
    let Some(live) = live else { return BTreeSet::from([String::new()]) };
    let differences = compare(said, live).differences.into_iter();
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

    /// Whether one live object is the newer's, of an older, a newer and a live container.
    fn is_newer(older: &Value, newer: &Value, live: &Value) -> bool {
        let [older, newer, live] = [older, newer, live].map(|container| object("a", container));
        are_newer(slice::from_ref(&newer), &[older], [(&newer.clone(), &Live::Object(live))].into_iter())
    }

    #[test]
    fn objects_are_the_newers_where_all_that_it_changed_is_as_it_says() {
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
            ("the half of it", &limited, &two, &one, false),
            ("nothing differs", &one, &one, &one, false),
        ] {
            assert_eq!(is_newer(older, newer, live), expected, "{what}");
        }
    }

    #[test]
    fn every_object_counts_that_can_be_looked_at() {
        let [one, two] = ["1", "2"].map(|image| json!({"name": "c", "image": image}));
        let of = |a: &Value, b: &Value| vec![object("a", a), object("b", b)];
        let (older, newer) = (of(&one, &one), of(&two, &two));
        let judged = |older: &[Value], newer: &[Value], live: [Live; 2]| {
            are_newer(newer, older, of(&two, &two).iter().zip(&live))
        };
        let live = |container: &Value| Live::Object(object("", container));
        assert!(judged(&older, &newer, [live(&two), live(&two)]));
        assert!(!judged(&older, &newer, [live(&two), live(&one)]), "the half of it was applied");
        assert!(judged(&older, &newer, [live(&two), Live::Missing]), "somebody removed it");
        assert!(!judged(&older, &newer, [Live::Missing, Live::Missing]));
        assert!(judged(&older, &newer, [live(&two), Live::Unread(String::new())]));
        assert!(!judged(&older, &newer, [Live::Unread(String::new()), Live::Unread(String::new())]));
        assert!(judged(&older, &newer[..1], [live(&two), Live::Missing]), "the other was removed");
        assert!(!judged(&older, &newer[..1], [live(&two), live(&one)]), "the other was not removed");
        assert!(judged(&[], &newer, [live(&two), live(&two)]), "the first revision");
        assert!(!judged(&[], &newer, [live(&two), Live::Missing]));
    }
}
