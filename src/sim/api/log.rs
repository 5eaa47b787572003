//! The log of a container, as the kubelet serves it. Imports the logs and what was asked.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::super::World;
use super::super::logs::Lines;
use super::failure::Failure;
use super::pod;
use super::request::Asked;

/// Which part of a log is asked for, and how.
struct Options {
    tail: usize,
    since: Timestamp,
    has_stamps: bool,
    limit: usize,
}

impl Options {
    fn read(asked: &Asked, now: Timestamp) -> Result<Self, Failure> {
        let ago = parsed::<u32>(asked, "sinceSeconds")?.map(|seconds| now - SignedDuration::from_secs(seconds.into()));
        let since = parsed::<Timestamp>(asked, "sinceTime")?.or(ago).unwrap_or(Timestamp::MIN);
        Ok(Self {
            tail: parsed(asked, "tailLines")?.unwrap_or(usize::MAX),
            // Nothing below a second reaches the kubelet.
            since: Timestamp::from_second(since.as_second()).unwrap_or(since),
            has_stamps: asked.is("timestamps"),
            limit: parsed(asked, "limitBytes")?.unwrap_or(usize::MAX),
        })
    }

    /// The part of what is there already: the last lines are counted before the times are looked at.
    fn part(&self, mut lines: Lines) -> Lines {
        lines.drain(..lines.len().saturating_sub(self.tail));
        lines.retain(|(stamp, _)| *stamp >= self.since);
        lines
    }

    /// The text of these lines, as far as the limit allows, which it lowers.
    fn text(&mut self, lines: &Lines) -> Bytes {
        let mut text = String::new();
        for (stamp, line) in lines {
            if self.has_stamps {
                // Writing to a String cannot fail.
                let _ = write!(text, "{stamp:.9} ");
            }
            text += line;
            text.push('\n');
        }
        let mut text = text.into_bytes();
        text.truncate(self.limit);
        self.limit -= text.len();
        text.into()
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(asked: &Asked, key: &str) -> Result<Option<T>, Failure> {
    let parsed = asked.get(key).map(str::parse).transpose();
    parsed.map_err(|error| Failure::bad(format!("{key}: {error}")))
}

/// The log that was asked for.
pub(super) fn log(world: &Arc<World>, asked: &Asked) -> Result<BoxStream<'static, Bytes>, Failure> {
    let (pod, container) = pod::container(world, asked)?;
    let mut options = Options::read(asked, world.node_now())?;
    if asked.is("previous") {
        let message = format!("previous terminated container \"{container}\" in pod \"{pod}\" not found");
        return Err(Failure::bad(message));
    }
    let changes = world.logs.changes();
    let Some(said) = world.logs.read(&pod, &container, 0) else {
        let state = pod::state(world, &pod, &container);
        let reason = state["waiting"]["reason"].as_str().unwrap_or("PodInitializing");
        let message = format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {reason}");
        return Err(Failure::bad(message));
    };
    let (next, life) = (said.lines.len(), said.life);
    let first = options.text(&options.part(said.lines));
    let first = stream::iter((!first.is_empty()).then_some(first));
    if !asked.is("follow") {
        return Ok(first.boxed());
    }
    let follower = Follower { world: Arc::clone(world), pod, container, options, changes, next, life };
    let later = stream::unfold(follower, |mut follower| async { Some((follower.chunk().await?, follower)) });
    Ok(first.chain(later).boxed())
}

/// Reads what a container says, until it ends or its log begins anew.
struct Follower {
    world: Arc<World>,
    pod: String,
    container: String,
    options: Options,
    changes: watch::Receiver<u64>,
    /// The first line that was not read.
    next: usize,
    life: u64,
}

impl Follower {
    /// What was said since; `None` if there will be no more.
    async fn chunk(&mut self) -> Option<Bytes> {
        while self.options.limit > 0 {
            let said = self.world.logs.read(&self.pod, &self.container, self.next)?;
            if said.life != self.life {
                return None;
            }
            if !said.lines.is_empty() {
                self.next += said.lines.len();
                return Some(self.options.text(&said.lines));
            }
            if said.ended {
                return None;
            }
            self.changes.changed().await.ok()?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn text(query: &str) -> Result<String, u16> {
        let now: Timestamp = "2026-11-21T03:00:10Z".parse().unwrap();
        let uri = format!("/api/v1/namespaces/file-simulator/pods/a/log?{query}").parse().unwrap();
        let asked = Asked::read(&Method::GET, &uri, &HeaderMap::new());
        let mut options = Options::read(&asked, now).map_err(|failure| failure.code)?;
        let at = |second: i64| now + SignedDuration::from_millis(second * 1000 - 9750);
        let lines = ["zero", "one", "", "three"].into_iter().zip(0..).map(|(line, second)| (at(second), line.into()));
        let lines = options.part(lines.collect());
        Ok(String::from_utf8(options.text(&lines).to_vec()).unwrap())
    }

    #[test]
    fn the_part_that_was_asked_for_is_told() {
        for (query, told) in [
            ("", "zero\none\n\nthree\n"),
            ("tailLines=2", "\nthree\n"),
            ("tailLines=0", ""),
            ("sinceTime=2026-11-21T03%3A00%3A02.9Z", "\nthree\n"),
            ("tailLines=3&sinceSeconds=7", "three\n"),
            ("tailLines=1&timestamps=true", "2026-11-21T03:00:03.250000000Z three\n"),
            ("limitBytes=6", "zero\no"),
        ] {
            assert_eq!(text(query).as_deref(), Ok(told), "{query}");
        }
        for query in ["tailLines=x", "sinceTime=yesterday"] {
            assert_eq!(text(query), Err(400), "{query}");
        }
    }
}
