//! Reads files that the user names: with a size limit, and in the encodings that editors and shells write. Imports no other
//! module.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The content of a file, pipe or device; an error if it is larger than `max_kib`.
pub fn bytes(path: &Path, max_kib: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed, to detect larger files.
    File::open(path)?.take(max_kib * 1024 + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_kib * 1024 {
        return Err(io::Error::other(format!("larger than {max_kib} KiB")));
    }
    Ok(bytes)
}

/// The content of a file as text.
pub fn text(path: &Path, max_kib: u64) -> io::Result<String> {
    decoded(&bytes(path, max_kib)?)
}

/// Decodes UTF-8, or the encoding of the byte order mark: `PowerShell`'s `>` writes UTF-16.
pub fn decoded(bytes: &[u8]) -> io::Result<String> {
    match encoding_rs::UTF_8.decode(bytes) {
        (text, _, false) => Ok(text.into_owned()),
        (_, encoding, true) => Err(io::Error::other(format!("not valid {}", encoding.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_by_its_byte_order_mark_and_half_a_character_is_an_error() {
        let wide = |order: fn(u16) -> [u8; 2]| "\u{feff}ä: 1".encode_utf16().flat_map(order).collect::<Vec<u8>>();
        for mut bytes in [wide(u16::to_le_bytes), wide(u16::to_be_bytes), "\u{feff}ä: 1".into(), "ä: 1".into()] {
            assert_eq!(decoded(&bytes).unwrap(), "ä: 1");
            bytes.push(0xd8);
            assert!(decoded(&bytes).unwrap_err().to_string().contains("not valid UTF"));
        }
    }
}
