//! Port-forwards.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::speed::scaled;

use super::clusters::Connected;
use super::commands::pod;

pub async fn an_open_port_is_forwarded_and_a_closed_one_is_refused(api: Connected) {
    let pod = pod(&api, "nas-input-1").await;
    let mut open = api.cluster.port_forward(&pod, 2049).await.unwrap();
    // An incomplete record: the server waits for the rest.
    open.stream.write_all(&[0x80, 0, 0, 40, 0]).await.unwrap();
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(500), open.stream.read(&mut byte)).await;
    assert!(read.is_err(), "expected neither data nor a closed connection: {read:?}");
    let mut refused = api.cluster.port_forward(&pod, 9).await.unwrap();
    // Some servers connect to the port only when data arrives.
    let _ = refused.stream.write_all(&[0]).await;
    let read = tokio::time::timeout(scaled(Duration::from_secs(10)), refused.stream.read(&mut byte)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "{read:?}");
    let trouble = tokio::time::timeout(scaled(Duration::from_secs(10)), refused.error).await.unwrap().unwrap();
    assert!(trouble.contains("connection refused"), "{trouble}");
}
