//! Replaces files through a temporary file beside them, so that no reader sees a part of a file, and no link, device or FIFO is
//! replaced. Imports no other module.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A temporary file, and the path to persist it to; creates the folder. Other users may read the file if `is_public`.
pub fn temporary(path: &Path, #[cfg_attr(windows, allow(unused))] is_public: bool) -> Result<(NamedTempFile, PathBuf)> {
    let target = target(path)?;
    let folder = folder(&target);
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    if is_public {
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    }
    Ok((builder.prefix(".replace-").tempfile_in(folder)?, target))
}

/// Follows links to the file, which need not exist yet; an error if it is not a regular file.
fn target(path: &Path) -> Result<PathBuf> {
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

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
