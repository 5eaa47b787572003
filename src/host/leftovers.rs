//! What runs have left in the host folder, rsync's temporaries of their files included.

use std::io;
use std::path::Path;

use super::{Host, Stat, blocking, stat, walk};

/// The names directly in a folder that begin so, and those of rsync's temporaries of such files.
fn names(folder: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let begins = |name: &String| name.strip_prefix('.').unwrap_or(name).starts_with(prefix);
    names.filter(|name| name.as_ref().map_or(true, begins)).collect()
}

impl Host {
    /// What is directly in a server's folder and whose names begin alike, with what is known of each; of a folder it is
    /// when the folder was changed, and the size of the files in it. A folder that is not there holds nothing.
    pub async fn listed(&self, server: &str, prefix: &str, most: usize) -> io::Result<Vec<(String, Stat)>> {
        let (root, prefix) = (self.folder(server), prefix.to_owned());
        let look = move || {
            let mut listed = Vec::new();
            for name in names(&root, &prefix)? {
                let path = root.join(&name);
                // One that was removed meanwhile is none.
                let Some(mut known) = stat(&path)? else { continue };
                if path.is_dir() {
                    let files = walk(&path, most)?;
                    known.bytes = files.iter().filter_map(|file| Some(stat(&path.join(file)).ok()??.bytes)).sum();
                }
                listed.push((name, known));
            }
            Ok(listed)
        };
        match blocking(look).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Whether rsync's temporary of a file whose name begins so is directly in a server's folder.
    pub async fn holds_temporary(&self, server: &str, prefix: &str) -> bool {
        let (path, prefix) = (self.folder(server), prefix.to_owned());
        let names = blocking(move || names(&path, &prefix)).await.unwrap_or_default();
        names.iter().any(|name| name.starts_with('.'))
    }

    /// Removes what is directly in a server's folder and whose names begin alike, rsync's temporaries included; returns
    /// those names.
    pub async fn sweep(&self, server: &str, prefix: &str) -> io::Result<Vec<String>> {
        let (path, prefix) = (self.folder(server), prefix.to_owned());
        let names: Vec<String> = match blocking(move || names(&path, &prefix)).await {
            // A folder that is not there holds nothing.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Vec::new(),
            names => names?,
        };
        let mut problem = Ok(());
        for name in &names {
            problem = self.remove(server, name).await.and(problem);
        }
        problem.map(|()| names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_left_of_a_run_is_removed_with_rsyncs_temporaries() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        for name in ["e2e-1-a", ".e2e-1-a.Ab12Cd", "e2e-2-a", ".e2e-2-a.Ab12Cd", "my-e2e-1-a"] {
            std::fs::write(root.path().join("nas").join(name), "").unwrap();
        }
        let host = Host::new(root.path().to_owned());
        assert!(host.holds_temporary("nas", "e2e-1-").await && !host.holds_temporary("nas", "e2e-3-").await);
        let mut swept = host.sweep("nas", "e2e-1-").await.unwrap();
        swept.sort();
        assert_eq!(swept, [".e2e-1-a.Ab12Cd", "e2e-1-a"]);
        assert!(!host.holds_temporary("nas", "e2e-1-").await && host.holds_temporary("nas", "e2e-2-").await);
        assert!(host.sweep("gone", "e2e-1-").await.unwrap().is_empty() && !host.holds_temporary("gone", "e").await);
    }
}
