//! Files that the user names: read as far as is sensible, whatever they are, and decoded as editors and shells write them.
//! Imports nothing of ours.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What a file has, or a pipe or device by its name; having more than so many KiB is an error.
pub fn bytes(path: &Path, most_kib: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells that there is more.
    File::open(path)?.take(most_kib * 1024 + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most_kib * 1024 {
        return Err(io::Error::other(format!("it has more than {most_kib} KiB")));
    }
    Ok(bytes)
}

/// The same as text.
pub fn text(path: &Path, most_kib: u64) -> io::Result<String> {
    decoded(&bytes(path, most_kib)?)
}

/// Text in UTF-8, or in what its byte order mark says: `PowerShell`'s `>` writes UTF-16.
pub fn decoded(bytes: &[u8]) -> io::Result<String> {
    match encoding_rs::UTF_8.decode(bytes) {
        (text, _, false) => Ok(text.into_owned()),
        (_, encoding, true) => Err(io::Error::other(format!("it is no text in {}", encoding.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_was_written_and_half_a_character_is_an_error() {
        let wide = |order: fn(u16) -> [u8; 2]| "\u{feff}ä: 1".encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for mut bytes in [wide(u16::to_le_bytes), wide(u16::to_be_bytes), "\u{feff}ä: 1".into(), "ä: 1".into()] {
            assert_eq!(decoded(&bytes).unwrap(), "ä: 1");
            bytes.push(0xd8);
            assert!(decoded(&bytes).unwrap_err().to_string().contains("no text in UTF"));
        }
    }
}
