//! Container logs, as the kubelet serves them. Imports the logs and the request.

use futures::stream::{self, BoxStream, StreamExt};
use hyper::body::Bytes;
use jiff::Timestamp;

use super::objects::container;
use super::reply::{Failure, bad_request};
use super::request::RequestInfo;
use crate::sim::logs::Log;
use crate::sim::object::{name, state, text};
use crate::sim::world::World;

/// The existing lines and, with `follow`, later ones until the container exits or restarts.
pub(super) fn log(world: &World, info: &RequestInfo) -> Result<BoxStream<'static, Bytes>, Failure> {
    let (pod, container) = container(world, info)?;
    let log = world.logs.of(name(&pod), &container).subscribe();
    let with_timestamps = info.is("timestamps");
    let (first, next, run) = {
        let log = log.borrow();
        if log.run == 0 {
            let reason = text(&state(&pod, &container)["waiting"]["reason"]);
            let waiting = format!("container \"{container}\" in pod \"{}\" is waiting to start: {reason}", name(&pod));
            return Err(bad_request(&waiting));
        }
        let none = || format!("previous terminated container \"{container}\" in pod \"{}\" not found", name(&pod));
        let lines = match &log.previous {
            _ if !info.is("previous") => &log.lines,
            Some(previous) => previous,
            None => return Err(bad_request(&none())),
        };
        // The kubelet applies `tailLines` before `sinceTime`, and `sinceTime` in whole seconds.
        let tail = info.parsed("tailLines").unwrap_or(usize::MAX);
        let since = info.parsed("sinceTime").unwrap_or(Timestamp::MIN).as_second();
        let tail = lines.iter().skip(lines.len().saturating_sub(tail));
        let mut first = format_lines(tail.filter(|(stamp, _)| stamp.as_second() >= since), with_timestamps);
        first.truncate(info.parsed("limitBytes").unwrap_or(usize::MAX));
        (first, log.lines.len(), log.run)
    };
    let first = stream::iter((!first.is_empty()).then(|| first.into()));
    if !info.is("follow") {
        return Ok(first.boxed());
    }
    let later = stream::unfold((log, next), move |(mut log, next)| async move {
        let has_more = |log: &Log| log.run != run || log.has_ended || log.lines.len() > next;
        let now = log.wait_for(has_more).await.ok()?;
        let lines = now.lines.get(next..).filter(|lines| now.run == run && !lines.is_empty())?;
        let (text, end) = (format_lines(lines, with_timestamps), now.lines.len());
        drop(now);
        Some((text.into(), (log, end)))
    });
    Ok(first.chain(later).boxed())
}

fn format_lines<'a>(lines: impl IntoIterator<Item = &'a (Timestamp, String)>, with_timestamps: bool) -> Vec<u8> {
    let line = |(stamp, line): &(Timestamp, String)| {
        if with_timestamps { format!("{stamp:.9} {line}\n") } else { format!("{line}\n") }
    };
    lines.into_iter().map(line).collect::<String>().into_bytes()
}
