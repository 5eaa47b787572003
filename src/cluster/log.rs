//! Reading containers' logs, which say whatever a pod likes: bounded, and any bytes will do.

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;

use super::{ANSWER, ApiError, Cluster, answered};

/// What is longer than this of a line is cut off.
const LONGEST_LINE: usize = 1 << 16;

/// A line of a log, and when it was written.
pub type LogLine = (Timestamp, String);

/// Where reading a log begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// At the first line that is still there.
    Head,
    /// At the first line of that moment or later.
    Since(Timestamp),
    /// At so many lines before the end.
    Tail(i64),
    /// At so many lines before the end of the life before this one.
    TailBefore(i64),
}

/// Reads a container's log; at most `bytes`, of which the last line may be cut off.
pub(super) async fn read(
    cluster: &Cluster,
    pod: &str,
    container: &str,
    from: From,
    bytes: i64,
) -> Result<Vec<LogLine>, ApiError> {
    let params = LogParams {
        container: Some(container.to_owned()),
        timestamps: true,
        since_time: if let From::Since(moment) = from { Some(whole_second(moment)) } else { None },
        tail_lines: if let From::Tail(lines) | From::TailBefore(lines) = from { Some(lines) } else { None },
        previous: matches!(from, From::TailBefore(_)),
        limit_bytes: Some(bytes),
        ..LogParams::default()
    };
    let pods = cluster.pods();
    let stream = answered("get", "pods/log", pods.log_stream(pod, &params)).await?;
    let mut stream = std::pin::pin!(stream);
    let mut lines = Vec::new();
    let read = async {
        while let Some(line) = next_line(&mut stream).await? {
            lines.extend(stamped(&line).map(|(stamp, text)| (stamp, text.to_owned())));
        }
        Ok(())
    };
    let silent = ApiError::Silent { verb: "get", resource: "pods/log", waited: ANSWER };
    let read: std::io::Result<()> = tokio::time::timeout(ANSWER, read).await.map_err(|_| silent)?;
    // A connection that breaks is not the end of the log.
    read.map_err(|error| ApiError::Failed { verb: "get", resource: "pods/log", message: error.to_string() })?;
    Ok(lines)
}

/// The second that the moment is in. kube rounds to the nearest one, and what lies between would be lost.
pub(super) fn whole_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

/// Whether an rsync that failed says so with its last line; files may have names that begin like it.
pub fn is_last_word(line: &str) -> bool {
    line.starts_with("rsync error: ") && line.contains(") at ") && line.ends_with(']')
}

/// A line of a log with timestamps.
pub(super) fn stamped(line: &str) -> Option<(Timestamp, &str)> {
    let (stamp, text) = line.split_once(' ')?;
    Some((stamp.parse().ok()?, text))
}

/// The next line without its end, cut at [`LONGEST_LINE`] and whatever its bytes are; `None` at the end of the stream.
pub(super) async fn next_line(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let chunk = stream.fill_buf().await?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&part[..part.len().min(LONGEST_LINE - line.len())]);
        let (consumed, is_over) = (part.len() + usize::from(end.is_some()), chunk.is_empty());
        stream.consume_unpin(consumed);
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
        if is_over {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::io::{BufReader, Cursor};
    use proptest::prelude::*;

    use super::*;

    /// All lines of some bytes, of which so many come at once.
    fn lines(bytes: &[u8], at_once: usize) -> Vec<String> {
        let mut stream = BufReader::with_capacity(at_once, Cursor::new(bytes));
        let next = || next_line(&mut stream).now_or_never().unwrap().unwrap();
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_hostile_line_is_cut_and_the_next_one_is_read() {
        let mut text = vec![b'a'; 3 * LONGEST_LINE];
        text.extend_from_slice(b"\nnext\nunfinished");
        assert_eq!(lines(&text, 8192), [&"a".repeat(LONGEST_LINE), "next"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_lines_however_they_come(
            parts in prop::collection::vec("[\0\x1b\\[a-z é\u{fffd}]{0,9}", 1..6),
            garbage in prop::collection::vec(any::<u8>(), 0..40),
            at_once in 1..20usize,
        ) {
            let bytes = [parts.join("\n").as_bytes(), &garbage].concat();
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
            // What the stream's end cuts off is none.
            expected.pop();
            let read = lines(&bytes, at_once);
            for line in &read {
                stamped(line);
                is_last_word(line);
            }
            prop_assert_eq!(read, expected);
        }
    }
}
