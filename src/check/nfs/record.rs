//! Untrusted RPC records on a stream (RFC 5531 §11): joins and bounds their fragments, because `nfs3_client` accepts
//! only one per reply, and rejects lengths that exceed the record, because `nfs3_types` allocates whatever a length
//! claims, up to 4 GiB.

use std::io::{Cursor, Error, ErrorKind, Read, Result};

use nfs3_client::io;
use nfs3_client::nfs3_types::rpc::rpc_msg;
use nfs3_client::nfs3_types::xdr_codec::{self, Unpack};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest record: far above any expected reply.
const LONGEST: usize = 1 << 20;
/// The most fragments per record: empty ones could continue forever.
const MAX_FRAGMENTS: usize = 4096;
/// The bit of a fragment header that marks the last fragment.
const LAST: u32 = 1 << 31;

/// A stream that yields each record as a single fragment.
pub struct Records<S> {
    stream: S,
    /// The current record, with its header.
    record: Cursor<Vec<u8>>,
}

impl<S> Records<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, record: Cursor::default() }
    }
}

impl<S: AsyncRead + Unpin + Send> io::AsyncRead for Records<S> {
    async fn async_read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let is_read = self.record.position() >= self.record.get_ref().len() as u64;
        if is_read {
            let record = next(&mut self.stream).await?;
            check_message(&record[4..])?;
            self.record = Cursor::new(record);
        }
        Read::read(&mut self.record, buffer)
    }
}

impl<S: AsyncWrite + Unpin + Send> io::AsyncWrite for Records<S> {
    async fn async_write(&mut self, buffer: &[u8]) -> Result<usize> {
        match self.stream.write(buffer).await? {
            // The client would retry forever.
            0 if !buffer.is_empty() => Err(ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }
}

async fn next(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut record = vec![0; 4];
    for _ in 0..MAX_FRAGMENTS {
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
    Err(Error::new(ErrorKind::InvalidData, format!("a reply of more than {MAX_FRAGMENTS} fragments")))
}

/// A value that is unpacked only after all its lengths were checked.
pub struct Bounded<T>(pub T);

impl<T: Unpack> Unpack for Bounded<T> {
    fn unpack(input: &mut impl Read) -> std::result::Result<(Self, usize), xdr_codec::Error> {
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).map_err(xdr_codec::Error::Io)?;
        T::unpack(&mut Clamped(&rest))?;
        let mut left = rest.as_slice();
        let (value, length) = T::unpack(&mut left)?;
        if left.is_empty() { Ok((Self(value), length)) } else { Err(xdr_codec::Error::InvalidLength(length)) }
    }
}

/// Checks that a record begins with an RPC message whose lengths fit.
fn check_message(record: &[u8]) -> Result<()> {
    let unpacked = rpc_msg::unpack(&mut Clamped(record)).map(drop);
    unpacked.map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))
}

/// Reads bytes, but caps each 4-byte number at the longest record. A larger length still exceeds the record, so that
/// unpacking fails before it allocates much. Numbers that are not lengths come out wrong.
struct Clamped<'a>(&'a [u8]);

impl Read for Clamped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = Read::read(&mut self.0, buffer)?;
        if let Ok(number) = <[u8; 4]>::try_from(&*buffer)
            && count == number.len()
        {
            let cap = u32::try_from(LONGEST).unwrap_or(u32::MAX);
            buffer.copy_from_slice(&u32::from_be_bytes(number).min(cap).to_be_bytes());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use nfs3_client::nfs3_types::xdr_codec::Opaque;
    use proptest::prelude::*;

    use super::*;

    fn fragment(data: &[u8], is_last: bool) -> Vec<u8> {
        let header = u32::try_from(data.len()).unwrap() | if is_last { LAST } else { 0 };
        [&header.to_be_bytes(), data].concat()
    }

    /// The first `count` records of a stream of these bytes, without headers.
    fn read(mut bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>> {
        let record = || next(&mut bytes).now_or_never().unwrap().map(|record| record[4..].to_vec());
        std::iter::repeat_with(record).take(count).collect()
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
    }

    #[test]
    fn records_that_are_too_long_too_fragmented_or_truncated_are_errors() {
        let kind = |bytes: &[u8]| read(bytes, 1).unwrap_err().kind();
        assert_eq!(kind(&[0xff; 4]), ErrorKind::InvalidData);
        let half = vec![0; LONGEST / 2];
        assert_eq!(kind(&[fragment(&half, false), fragment(&half, true)].concat()), ErrorKind::InvalidData);
        assert_eq!(kind(&[0; 4 * MAX_FRAGMENTS]), ErrorKind::InvalidData);
        let whole = fragment(b"text", true);
        for length in 0..whole.len() {
            assert_eq!(kind(&whole[..length]), ErrorKind::UnexpectedEof, "{length}");
        }
        assert_eq!(read(&fragment(b"", true), 1).unwrap(), [b""]);
    }

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_length_that_exceeds_the_record_is_an_error() {
        let whole = bytes(&[4, 7]);
        let (Bounded(read), length) = Bounded::<Opaque>::unpack(&mut whole.as_slice()).unwrap();
        assert_eq!((read.as_ref(), length), (&whole[4..], 8));
        for words in [&[u32::MAX, 7][..], &[1 << 20, 7], &[8, 7], &[4], &[4, 7, 7]] {
            assert!(Bounded::<Opaque>::unpack(&mut bytes(words).as_slice()).is_err(), "{words:?}");
        }
        // A number that is not a length may have any value.
        let (Bounded(read), _) = Bounded::<u32>::unpack(&mut bytes(&[u32::MAX]).as_slice()).unwrap();
        assert_eq!(read, u32::MAX);
        // An accepted reply whose verifier claims 4 GiB, and a call that does.
        for words in [&[1, 1, 0, 0, u32::MAX][..], &[1, 0, 2, 3, 3, 3, 0, u32::MAX]] {
            assert_eq!(check_message(&bytes(words)).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }
}
