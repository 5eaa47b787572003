//! RPC records on a stream (RFC 5531 §11): joins fragments, of which `nfs3_client` takes only one for a reply, and bounds
//! them, because a reply is somebody else's. Knows nothing of what is in a record.

use std::io::{Cursor, Error, ErrorKind, Read, Result};

use nfs3_client::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest record: much more than any reply that is asked for.
pub const LONGEST: usize = 1 << 20;
/// The most fragments of a record; empty ones could go on for ever.
const MOST: usize = 4096;
/// The bit of a fragment's header that says that it is the last.
const LAST: u32 = 1 << 31;

/// A stream whose records are read one at a time, each as if it were a single fragment.
pub struct Records<S> {
    stream: S,
    /// The record that is being read, with its header.
    record: Cursor<Vec<u8>>,
    /// Whether a record can be shown to the client.
    check: fn(&[u8]) -> Result<()>,
}

impl<S> Records<S> {
    pub fn new(stream: S, check: fn(&[u8]) -> Result<()>) -> Self {
        Self { stream, record: Cursor::default(), check }
    }
}

impl<S: AsyncRead + Unpin + Send> io::AsyncRead for Records<S> {
    async fn async_read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let is_read = self.record.position() >= self.record.get_ref().len() as u64;
        if is_read {
            let record = next(&mut self.stream).await?;
            (self.check)(&record[4..])?;
            self.record = Cursor::new(record);
        }
        Read::read(&mut self.record, buffer)
    }
}

impl<S: AsyncWrite + Unpin + Send> io::AsyncWrite for Records<S> {
    async fn async_write(&mut self, buffer: &[u8]) -> Result<usize> {
        match self.stream.write(buffer).await? {
            // The client would try for ever.
            0 if !buffer.is_empty() => Err(ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }
}

/// The next record, as a single fragment with its header.
async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut record = vec![0; 4];
    for _ in 0..MOST {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let header = u32::from_be_bytes(header);
        let start = record.len();
        let end = usize::try_from(header & !LAST).unwrap_or(usize::MAX).saturating_add(start);
        if end > LONGEST {
            return Err(Error::new(ErrorKind::InvalidData, format!("a reply of more than {LONGEST} bytes")));
        }
        record.resize(end, 0);
        stream.read_exact(&mut record[start..]).await?;
        if header & LAST != 0 {
            let length = u32::try_from(end - 4).unwrap_or_default();
            record[..4].copy_from_slice(&(length | LAST).to_be_bytes());
            return Ok(record);
        }
    }
    Err(Error::new(ErrorKind::InvalidData, format!("a reply of more than {MOST} fragments")))
}

#[cfg(test)]
mod tests {
    use nfs3_client::io::AsyncRead as _;
    use proptest::prelude::*;

    use super::*;

    fn fragment(data: &[u8], is_last: bool) -> Vec<u8> {
        let header = u32::try_from(data.len()).unwrap() | if is_last { LAST } else { 0 };
        [&header.to_be_bytes(), data].concat()
    }

    /// What is read of some bytes and then the end of the stream: so many records, without their headers.
    fn read(bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>> {
        let mut records = Records::new(bytes, |_| Ok(()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let mut all = Vec::new();
            for _ in 0..count {
                let mut header = [0; 4];
                records.async_read_exact(&mut header).await?;
                let header = u32::from_be_bytes(header);
                assert_ne!(header & LAST, 0);
                let mut record = vec![0; (header & !LAST) as usize];
                records.async_read_exact(&mut record).await?;
                all.push(record);
            }
            Ok(all)
        })
    }

    proptest! {
        #[test]
        fn a_record_is_the_same_however_it_is_split(
            records in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..4)
        ) {
            let split = |record: &Vec<Vec<u8>>| -> Vec<u8> {
                let last = record.len() - 1;
                record.iter().enumerate().flat_map(|(index, part)| fragment(part, index == last)).collect()
            };
            let bytes: Vec<u8> = records.iter().flat_map(split).collect();
            let whole: Vec<Vec<u8>> = records.iter().map(|record| record.concat()).collect();
            prop_assert_eq!(read(&bytes, whole.len()).unwrap(), whole);
        }

        #[test]
        fn any_bytes_end_in_an_error_or_a_record(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            // More records than could be there.
            prop_assert!(read(&bytes, 20).is_err());
        }
    }

    #[test]
    fn what_is_too_long_or_has_too_many_fragments_or_ends_early_is_an_error() {
        let kind = |bytes: &[u8]| read(bytes, 1).unwrap_err().kind();
        assert_eq!(kind(&[0xff; 4]), ErrorKind::InvalidData);
        let half = vec![0; LONGEST / 2];
        assert_eq!(kind(&[fragment(&half, false), fragment(&half, true)].concat()), ErrorKind::InvalidData);
        assert_eq!(kind(&[0; 4 * MOST]), ErrorKind::InvalidData);
        let whole = fragment(b"text", true);
        for length in 0..whole.len() {
            assert_eq!(kind(&whole[..length]), ErrorKind::UnexpectedEof, "{length}");
        }
        assert_eq!(read(&fragment(b"", true), 1).unwrap(), [b""]);
    }
}
