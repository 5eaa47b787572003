//! Identifies content by size and SHA-1, so that it need not be kept in memory. Imports no other module.

use std::fmt;
use std::io::{self, Write};

use sha1::Sha1;

/// The size and SHA-1 of content, computed incrementally.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    bytes: u64,
    sha1: Sha1,
}

impl Digest {
    pub fn of(content: impl AsRef<[u8]>) -> Self {
        let mut digest = Self::default();
        digest.add(content.as_ref());
        digest
    }

    pub fn add(&mut self, more: &[u8]) {
        self.bytes += more.len() as u64;
        sha1::Digest::update(&mut self.sha1, more);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// In the format of `wc -c` and `sha1sum`.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.bytes)?;
        let sha1 = sha1::Digest::finalize(self.sha1.clone());
        sha1.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.to_string() == other.to_string()
    }
}

impl Write for Digest {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.add(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
