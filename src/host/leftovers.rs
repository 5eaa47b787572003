//! Files of runs in the host folders, including rsync's temporary files for them.

use std::io;
use std::path::Path;

use super::{Host, Stat, blocking, stat, walk};

/// The names in a folder, not below it, that start with the prefix, and those of rsync's temporary files for them.
fn names(folder: &Path, prefix: &str) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let matches = |name: &String| name.strip_prefix('.').unwrap_or(name).starts_with(prefix);
    names.filter(|name| name.as_ref().map_or(true, matches)).collect()
}

impl Host {
    /// The files and folders of these names in a server's host folder; a folder has its own mtime and the total size of its
    /// files. Empty if the host folder does not exist.
    pub async fn listed(&self, server: &str, prefix: &str, most: usize) -> io::Result<Vec<(String, Stat)>> {
        let (root, prefix) = (self.folder(server), prefix.to_owned());
        let list = move || {
            let mut listed = Vec::new();
            for name in names(&root, &prefix)? {
                let path = root.join(&name);
                // Removed since it was listed?
                let Some(mut found) = stat(&path)? else { continue };
                if path.is_dir() {
                    let files = walk(&path, most)?;
                    found.bytes = files.iter().filter_map(|file| Some(stat(&path.join(file)).ok()??.bytes)).sum();
                }
                listed.push((name, found));
            }
            Ok(listed)
        };
        match blocking(list).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Whether a server's host folder holds a temporary file of rsync for such a name.
    pub async fn holds_temporary(&self, server: &str, prefix: &str) -> bool {
        let (path, prefix) = (self.folder(server), prefix.to_owned());
        let names = blocking(move || names(&path, &prefix)).await.unwrap_or_default();
        names.iter().any(|name| name.starts_with('.'))
    }

    /// Removes the files and folders of these names from a server's host folder; returns the names.
    pub async fn sweep(&self, server: &str, prefix: &str) -> io::Result<Vec<String>> {
        let (path, prefix) = (self.folder(server), prefix.to_owned());
        let names: Vec<String> = match blocking(move || names(&path, &prefix)).await {
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
    async fn leftover_files_are_removed_with_rsyncs_temporary_files() {
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
