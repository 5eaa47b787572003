//! Resolves the place of a file to replace: it is written to a temporary file beside it and renamed, so that no reader sees a
//! part of it, and no link, device or FIFO is replaced. Imports no other module.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// Follows links to the file, which need not exist yet; an error if it is not a regular file.
pub fn target(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(Error::other("not a regular file but a folder, device or FIFO"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut target = path.to_owned();
    // A cycle of links was an error above.
    while let Ok(next) = fs::read_link(&target) {
        target = folder(&target).join(next);
    }
    Ok(target)
}

/// The parent folder.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
