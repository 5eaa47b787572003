//! Reads containers' logs. A pod may write anything, so lines are bounded and may be any bytes.

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;

use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, with_deadline};
use crate::cluster::deadline::REPLY_TIMEOUT;

const MAX_LINE: usize = 1 << 16;

pub type LogLine = (Timestamp, String);
type Lines = Result<Vec<LogLine>, ApiError>;

impl Cluster {
    /// A container's log since a time, or from its beginning; at most `bytes` of it.
    pub async fn log(&self, pod: &str, container: &str, since: Option<Timestamp>, bytes: i64) -> Lines {
        let params = LogParams { since_time: since.map(whole_second), ..LogParams::default() };
        self.read_log(pod, container, params, bytes).await
    }

    /// The last lines of a container's log; at most their first `bytes`.
    pub async fn log_tail(&self, pod: &str, container: &str, lines: i64, bytes: i64) -> Lines {
        let params = LogParams { tail_lines: Some(lines), ..LogParams::default() };
        self.read_log(pod, container, params, bytes).await
    }

    /// The last lines of the container's previous run; at most their first `bytes`.
    pub async fn previous_log_tail(&self, pod: &str, container: &str, lines: i64, bytes: i64) -> Lines {
        let params = LogParams { tail_lines: Some(lines), previous: true, ..LogParams::default() };
        self.read_log(pod, container, params, bytes).await
    }

    /// At the limit of `bytes`, the last line may be cut off.
    async fn read_log(&self, pod: &str, container: &str, params: LogParams, bytes: i64) -> Lines {
        let container = Some(container.to_owned());
        let params = LogParams { container, timestamps: true, limit_bytes: Some(bytes), ..params };
        let pods = self.pods();
        let stream = with_deadline("get", "pods/log", pods.log_stream(pod, &params)).await?;
        let mut stream = std::pin::pin!(stream);
        let mut lines = Vec::new();
        let read = async {
            while let Some(line) = next_line(&mut stream).await? {
                lines.extend(stamped(&line).map(|(stamp, text)| (stamp, text.to_owned())));
            }
            Ok(())
        };
        let no_reply = ApiError::NoReply { verb: "get", resource: "pods/log", limit: REPLY_TIMEOUT };
        let read: std::io::Result<()> = tokio::time::timeout(REPLY_TIMEOUT, read).await.map_err(|_| no_reply)?;
        // A broken connection is not the end of the log.
        read.map_err(|error| ApiError::Failed { verb: "get", resource: "pods/log", message: error.to_string() })?;
        Ok(lines)
    }
}

/// Rounds down to a whole second. kube would round to the nearest, and lose lines.
pub(super) fn whole_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

pub(super) fn stamped(line: &str) -> Option<(Timestamp, &str)> {
    let (stamp, text) = line.split_once(' ')?;
    Some((stamp.parse().ok()?, text))
}

/// The next line without its end, cut at [`MAX_LINE`], with invalid UTF-8 replaced; `None` at the end of the stream.
pub(super) async fn next_line(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let chunk = stream.fill_buf().await?;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        line.extend_from_slice(&part[..part.len().min(MAX_LINE - line.len())]);
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

    /// The lines of a stream that delivers `at_once` bytes at a time.
    fn lines(bytes: &[u8], at_once: usize) -> Vec<String> {
        let mut stream = BufReader::with_capacity(at_once, Cursor::new(bytes));
        let next = || next_line(&mut stream).now_or_never().unwrap().unwrap();
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_is_read() {
        let mut text = vec![b'a'; 3 * MAX_LINE];
        text.extend_from_slice(b"\nnext\nunfinished");
        assert_eq!(lines(&text, 8192), [&"a".repeat(MAX_LINE), "next"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_lines(
            parts in prop::collection::vec("[\0\x1b\\[a-z é\u{fffd}]{0,9}", 1..6),
            garbage in prop::collection::vec(any::<u8>(), 0..40),
            at_once in 1..20usize,
        ) {
            let bytes = [parts.join("\n").as_bytes(), &garbage].concat();
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(String::from_utf8_lossy).collect();
            // An unfinished line does not count.
            expected.pop();
            let read = lines(&bytes, at_once);
            for line in &read {
                stamped(line);
            }
            prop_assert_eq!(read, expected);
        }
    }
}
