//! The log of a container, as the kubelet serves it. Imports the logs and what was asked.

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use jiff::Timestamp;

use super::objects::container;
use super::reply::{Failure, bad};
use super::request::Asked;
use crate::sim::logs::Log;
use crate::sim::object::{name, state, text};
use crate::sim::world::World;

/// The log that was asked for: what is there, and, if it is to be followed, what is said until the container ends or its
/// log begins anew.
pub(super) fn log(world: &World, asked: &Asked) -> Result<BoxStream<'static, Bytes>, Failure> {
    let (pod, container) = container(world, asked)?;
    let log = world.logs.of(name(&pod), &container).subscribe();
    let has_stamps = asked.is("timestamps");
    let (first, next, life) = {
        let said = log.borrow();
        if said.life == 0 {
            let reason = text(&state(&pod, &container)["waiting"]["reason"]);
            let waits = format!("container \"{container}\" in pod \"{}\" is waiting to start: {reason}", name(&pod));
            return Err(bad(&waits));
        }
        let none = || format!("previous terminated container \"{container}\" in pod \"{}\" not found", name(&pod));
        let lines = match &said.before {
            _ if !asked.is("previous") => &said.lines,
            Some(before) => before,
            None => return Err(bad(&none())),
        };
        // The last lines are counted before the times are looked at, of which nothing below a second reaches the kubelet.
        let tail = asked.parsed("tailLines").unwrap_or(usize::MAX);
        let since = asked.parsed("sinceTime").unwrap_or(Timestamp::MIN).as_second();
        let last = lines.iter().skip(lines.len().saturating_sub(tail));
        let mut first = told(last.filter(|(stamp, _)| stamp.as_second() >= since), has_stamps);
        first.truncate(asked.parsed("limitBytes").unwrap_or(usize::MAX));
        (first, said.lines.len(), said.life)
    };
    let first = stream::iter((!first.is_empty()).then(|| first.into()));
    if !asked.is("follow") {
        return Ok(first.boxed());
    }
    let later = stream::unfold((log, next), move |(mut log, next)| async move {
        let is_news = |said: &Log| said.life != life || said.has_ended || said.lines.len() > next;
        let said = log.wait_for(is_news).await.ok()?;
        let lines = said.lines.get(next..).filter(|lines| said.life == life && !lines.is_empty())?;
        let (text, end) = (told(lines, has_stamps), said.lines.len());
        drop(said);
        Some((text.into(), (log, end)))
    });
    Ok(first.chain(later).boxed())
}

fn told<'a>(lines: impl IntoIterator<Item = &'a (Timestamp, String)>, has_stamps: bool) -> Vec<u8> {
    let line = |(stamp, line): &(Timestamp, String)| {
        if has_stamps { format!("{stamp:.9} {line}\n") } else { format!("{line}\n") }
    };
    lines.into_iter().map(line).collect::<String>().into_bytes()
}
