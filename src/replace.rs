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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn links_are_followed_and_what_is_no_file_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("below")).unwrap();
        fs::write(at("below/there"), "").unwrap();
        for (link, to) in [("one", "two"), ("two", "below/there"), ("new", "below/new"), ("ring", "ring")] {
            symlink(to, at(link)).unwrap();
        }
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert_eq!(target(&at("one")).unwrap(), at("below/there"));
        assert_eq!(target(&at("new")).unwrap(), at("below/new"), "what it leads to is made");
        assert_eq!(target(&at("none")).unwrap(), at("none"));
        for wrong in [at("below"), at("socket"), at("ring"), "/dev/null".into()] {
            assert!(target(&wrong).is_err(), "{}", wrong.display());
        }
    }
}
