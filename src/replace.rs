//! Where a file that is to be replaced is in truth: it is written beside that place and renamed into it, so that nobody ever
//! reads half of it, and no link, device or FIFO is replaced. Imports nothing of ours.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// The file that is meant: where links lead, also if nothing is there yet; an error if that is no regular file.
pub fn target(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            return Err(Error::other("it is a folder, device or FIFO, and no regular file"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut target = path.to_owned();
    // What goes round in circles was an error above.
    while let Ok(next) = fs::read_link(&target) {
        target = folder(&target).join(next);
    }
    Ok(target)
}

/// The folder that a file is in.
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
