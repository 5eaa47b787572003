//! Replies are read without reserving what they only claim to hold: `nfs3_types` makes room for as many bytes as a length
//! says, up to 4 GiB, before it looks whether they are there.

use std::io::{self, ErrorKind, Read};

use nfs3_client::nfs3_types::rpc::rpc_msg;
use nfs3_client::nfs3_types::xdr_codec::{Error, Unpack};

use super::record::LONGEST;

/// Something unpacked whose lengths were looked at first.
pub struct Bounded<T>(pub T);

impl<T: Unpack> Unpack for Bounded<T> {
    fn unpack(input: &mut impl Read) -> Result<(Self, usize), Error> {
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).map_err(Error::Io)?;
        T::unpack(&mut Clamped(&rest))?;
        let mut left = rest.as_slice();
        let (value, length) = T::unpack(&mut left)?;
        if left.is_empty() { Ok((Self(value), length)) } else { Err(Error::InvalidLength(length)) }
    }
}

/// Whether a record begins with an RPC message whose lengths fit.
pub fn message(record: &[u8]) -> io::Result<()> {
    let read = rpc_msg::unpack(&mut Clamped(record)).map(drop);
    read.map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))
}

/// Reads bytes as they are, but no number above the longest record: what such a length claims is not there, so that reading
/// ends with an error. Numbers that are no lengths come out wrong.
struct Clamped<'a>(&'a [u8]);

impl Read for Clamped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        if let Ok(number) = <[u8; 4]>::try_from(&*buffer)
            && count == number.len()
        {
            let most = u32::try_from(LONGEST).unwrap_or(u32::MAX);
            buffer.copy_from_slice(&u32::from_be_bytes(number).min(most).to_be_bytes());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use nfs3_client::nfs3_types::xdr_codec::Opaque;

    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_length_is_believed_only_if_so_much_is_there() {
        let whole = bytes(&[4, 7]);
        let (Bounded(read), length) = Bounded::<Opaque>::unpack(&mut whole.as_slice()).unwrap();
        assert_eq!((read.as_ref(), length), (&whole[4..], 8));
        for words in [&[u32::MAX, 7][..], &[1 << 20, 7], &[8, 7], &[4], &[4, 7, 7]] {
            assert!(Bounded::<Opaque>::unpack(&mut bytes(words).as_slice()).is_err(), "{words:?}");
        }
        // A number that is no length may be as large as it likes.
        let (Bounded(read), _) = Bounded::<u32>::unpack(&mut bytes(&[u32::MAX]).as_slice()).unwrap();
        assert_eq!(read, u32::MAX);
        // An accepted reply whose verifier claims 4 GiB, and a call that does.
        for words in [&[1, 1, 0, 0, u32::MAX][..], &[1, 0, 2, 3, 3, 3, 0, u32::MAX]] {
            assert_eq!(message(&bytes(words)).unwrap_err().kind(), ErrorKind::InvalidData);
        }
    }
}
