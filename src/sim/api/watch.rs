//! WATCH: what happens to objects, as it happens. Imports the store and what was asked.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::json;

use super::super::World;
use super::super::store::{Kind, State};
use super::failure;
use super::objects::shown;
use super::request::Asked;

/// What happens to objects of a kind after the version that was named.
pub(super) fn watch(world: &Arc<World>, asked: Asked, kind: Kind) -> BoxStream<'static, Bytes> {
    let state = world.store.state();
    let told = asked.parsed("resourceVersion").unwrap_or_else(|| state.borrow().version);
    let asked_for = asked.parsed("timeoutSeconds");
    let events = stream::unfold((state, asked, Some(told)), move |(mut state, asked, mut told)| async move {
        loop {
            let lines;
            (lines, told) = events(&state.borrow_and_update(), &asked, kind, told?);
            if !lines.is_empty() {
                return Some((lines.into(), (state, asked, told)));
            }
            state.changed().await.ok()?;
        }
    });
    let lasts = asked_for.map_or(Duration::MAX, Duration::from_secs);
    events.take_until(tokio::time::sleep(lasts)).boxed()
}

/// What happened after a version, each event a line, and up to which version that is; none if it is too old.
fn events(state: &State, asked: &Asked, kind: Kind, told: u64) -> (String, Option<u64>) {
    let Some(changes) = state.since(told) else {
        let message = format!("too old resource version: {told} ({})", state.version);
        return (line("ERROR", &failure::new(410, "Expired", &message)), None);
    };
    let its = changes.iter().filter(|change| change.kind == kind && asked.selects(&change.object));
    let lines = its.map(|change| line(change.verb, &shown(&change.object, kind, asked)));
    (lines.collect(), Some(state.version))
}

fn line(verb: &str, object: &impl Serialize) -> String {
    format!("{}\n", json!({"type": verb, "object": object}))
}
