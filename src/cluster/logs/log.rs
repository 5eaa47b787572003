//! Reading containers' logs, which say whatever a pod likes: bounded, and any bytes will do.

use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;

use crate::cluster::api_error::ApiError;
use crate::cluster::client::{Cluster, answered};
use crate::cluster::deadline::ANSWER;

const LONGEST_LINE: usize = 1 << 16;

pub type LogLine = (Timestamp, String);
type Lines = Result<Vec<LogLine>, ApiError>;

impl Cluster {
    /// Reads a container's log from the moment `since`, or from its beginning, line by line; at most `bytes` of it.
    pub async fn log(&self, pod: &str, container: &str, since: Option<Timestamp>, bytes: i64) -> Lines {
        let params = LogParams { since_time: since.map(whole_second), ..LogParams::default() };
        self.read_log(pod, container, params, bytes).await
    }

    /// Reads the last lines of a container's log; at most `bytes` of them, from the first on.
    pub async fn log_tail(&self, pod: &str, container: &str, lines: i64, bytes: i64) -> Lines {
        let params = LogParams { tail_lines: Some(lines), ..LogParams::default() };
        self.read_log(pod, container, params, bytes).await
    }

    /// The same of the container's life before this one.
    pub async fn log_tail_before(&self, pod: &str, container: &str, lines: i64, bytes: i64) -> Lines {
        let params = LogParams { tail_lines: Some(lines), previous: true, ..LogParams::default() };
        self.read_log(pod, container, params, bytes).await
    }

    /// Reads at most so many bytes, of which the last line may be cut off.
    async fn read_log(&self, pod: &str, container: &str, params: LogParams, bytes: i64) -> Lines {
        let container = Some(container.to_owned());
        let params = LogParams { container, timestamps: true, limit_bytes: Some(bytes), ..params };
        let pods = self.pods();
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
}

/// The second that the moment is in. kube rounds to the nearest one, and what lies between would be lost.
pub(super) fn whole_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

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
            }
            prop_assert_eq!(read, expected);
        }
    }
}
