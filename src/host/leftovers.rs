//! What runs have left in the tester's folder, rsync's temporaries of their files included.

use std::io;

use super::{Host, blocking, stat};

impl Host {
    /// What is directly in a server's folder and whose names begin alike, rsync's temporaries included, with when it was
    /// changed, in milliseconds since 1970. A folder that is not there holds nothing.
    pub async fn listed(&self, server: &str, prefix: &str) -> io::Result<Vec<(String, i64)>> {
        let (root, prefix) = (self.folder(server), prefix.to_owned());
        let look = move || {
            let mut listed = Vec::new();
            for entry in std::fs::read_dir(&root)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if name.strip_prefix('.').unwrap_or(&name).starts_with(&prefix)
                    // One that was removed meanwhile is none.
                    && let Some(known) = stat(&root.join(&name))?
                {
                    listed.push((name, known.modified));
                }
            }
            Ok(listed)
        };
        match blocking(look).await {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            listed => listed,
        }
    }

    /// Whether rsync's temporary of a file whose name begins so is directly in a server's folder.
    pub async fn holds_temporary(&self, server: &str, prefix: &str) -> bool {
        self.listed(server, prefix).await.is_ok_and(|listed| listed.iter().any(|(name, _)| name.starts_with('.')))
    }

    /// Removes what is [`listed`](Self::listed); returns those names.
    pub async fn sweep(&self, server: &str, prefix: &str) -> io::Result<Vec<String>> {
        let names: Vec<String> = self.listed(server, prefix).await?.into_iter().map(|(name, _)| name).collect();
        let mut problem = Ok(());
        for name in &names {
            problem = self.remove(server, name).await.and(problem);
        }
        problem.map(|()| names)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::host;

    #[tokio::test]
    async fn what_is_left_of_a_run_is_removed_with_rsyncs_temporaries() {
        let (root, host) = host();
        for name in ["e2e-1-a", ".e2e-1-a.Ab12Cd", "e2e-2-a", ".e2e-2-a.Ab12Cd", "my-e2e-1-a"] {
            std::fs::write(root.path().join("nas").join(name), "").unwrap();
        }
        assert!(host.holds_temporary("nas", "e2e-1-").await && !host.holds_temporary("nas", "e2e-3-").await);
        let mut swept = host.sweep("nas", "e2e-1-").await.unwrap();
        swept.sort();
        assert_eq!(swept, [".e2e-1-a.Ab12Cd", "e2e-1-a"]);
        assert!(!host.holds_temporary("nas", "e2e-1-").await && host.holds_temporary("nas", "e2e-2-").await);
        assert!(host.sweep("gone", "e2e-1-").await.unwrap().is_empty() && !host.holds_temporary("gone", "e").await);
    }
}
