//! WATCH: what happens to objects, as it happens. Imports the store and what was asked.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use super::super::World;
use super::super::store::Kind;
use super::failure::Failure;
use super::object::shown;
use super::request::Asked;
use super::selector::Selector;

/// How long a watch goes on at the most, in seconds.
const LONGEST: u64 = 3600;

struct Watch {
    world: Arc<World>,
    asked: Asked,
    kind: Kind,
    selector: Selector,
    changes: Receiver<u64>,
    /// What was told already; `None` before what there is was told.
    version: Option<u64>,
    end: Instant,
    is_over: bool,
}

/// What happens to objects of a kind, from a version on; from what there is on, if none was named.
pub(super) fn watch(world: &Arc<World>, asked: Asked, kind: Kind) -> Result<BoxStream<'static, Bytes>, Failure> {
    let unreadable = |text: &str, error| {
        Failure::new(500, "InternalError", format!("resourceVersion: Invalid value: \"{text}\": {error}"))
    };
    let version = asked.get("resourceVersion").filter(|text| !matches!(*text, "" | "0"));
    let version = version.map(|text| text.parse().map_err(|error: std::num::ParseIntError| unreadable(text, error)));
    let seconds = asked.get("timeoutSeconds").and_then(|text| text.parse().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0).unwrap_or(LONGEST);
    let watch = Watch {
        world: Arc::clone(world),
        selector: Selector::read(&asked)?,
        changes: world.store.changes(),
        version: version.transpose()?,
        end: Instant::now() + Duration::from_secs(seconds.min(LONGEST)),
        is_over: false,
        asked,
        kind,
    };
    Ok(stream::unfold(watch, |mut watch| async { Some((watch.chunk().await?, watch)) }).boxed())
}

impl Watch {
    /// The next events, each a line; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        while !self.is_over {
            let lines = self.events();
            if !lines.is_empty() {
                return Some(lines.concat().into());
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = sleep_until(self.end) => {
                    self.is_over = true;
                    return self.bookmark();
                }
            }
        }
        None
    }

    /// What happened since.
    fn events(&mut self) -> Vec<String> {
        let Some(told) = self.version else {
            let (version, objects) = self.world.store.list(self.kind);
            self.version = Some(version);
            return objects
                .iter()
                .filter(|object| self.is_asked(object))
                .map(|object| self.event("ADDED", object))
                .collect();
        };
        let Some(changes) = self.world.store.since(told) else {
            self.is_over = true;
            let (now, _) = self.world.store.list(self.kind);
            let expired = Failure::new(410, "Expired", format!("too old resource version: {told} ({now})"));
            return vec![line("ERROR", &expired.status())];
        };
        self.version = changes.last().map_or(self.version, |change| Some(change.version));
        let its = changes.iter().filter(|change| change.kind == self.kind && self.is_asked(&change.object));
        its.map(|change| self.event(change.verb, &change.object)).collect()
    }

    fn is_asked(&self, object: &Value) -> bool {
        self.asked.has_objects() && self.selector.matches(object)
    }

    fn event(&self, verb: &str, object: &Value) -> String {
        line(verb, &shown(object, self.kind, self.asked.is_partial))
    }

    /// Says up to which version everything was told.
    fn bookmark(&self) -> Option<Bytes> {
        let version = self.version.filter(|_| self.asked.is("allowWatchBookmarks"))?;
        let metadata = json!({"metadata": {"resourceVersion": version.to_string(), "creationTimestamp": null}});
        Some(self.event("BOOKMARK", &metadata).into())
    }
}

fn line(verb: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": verb, "object": object}))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::{HeaderMap, Method};

    use super::super::super::scenario;
    use super::*;

    #[tokio::test]
    async fn a_forgotten_version_is_told_and_a_known_one_goes_on() {
        let scenario = scenario::named(scenario::HEALTHY).unwrap();
        let world = Arc::new(World::new(Path::new(""), scenario, 1));
        let begin = async |version: u64| {
            let uri = format!("/api/v1/nodes?watch=true&resourceVersion={version}").parse().unwrap();
            let asked = Asked::read(&Method::GET, &uri, &HeaderMap::new());
            let events = watch(&world, asked, Kind::Node).ok().unwrap().next().await.unwrap();
            String::from_utf8(events.to_vec()).unwrap()
        };
        let node = |size: u64| json!({"metadata": {"name": "a"}, "size": size});
        world.store.put(Kind::Node, node(0), world.now());
        let (first, _) = world.store.list(Kind::Node);
        for size in 1..=3000 {
            world.store.put(Kind::Node, node(size), world.now());
        }
        let expired = begin(first).await;
        assert!(
            expired.contains("ERROR") && expired.contains("\"code\":410") && !expired.contains("MODIFIED"),
            "{expired}"
        );
        let known = begin(first + 2998).await;
        let sizes = known.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["object"]["size"].clone());
        assert_eq!(sizes.collect::<Vec<_>>(), [2999, 3000]);
    }
}
