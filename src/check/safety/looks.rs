//! Looking at many files within a time: a folder that does not answer is not asked for each of them.

use std::time::Duration;

use tokio::time::Instant;

use super::ground::{Wanted, Wrong};
use crate::host::{Host, Seen};

/// How long all looks may take beyond the wait for what is looked at.
pub const ALL: Duration = Duration::from_secs(10);

/// Those of the files that are not whole, looked at in turn: each is awaited until the limit, if there is one; then it has
/// not arrived, else it was whole before. After the end none is looked at.
pub async fn not_whole(
    host: &Host,
    server: &str,
    wanted: &[Wanted],
    limit: Option<Instant>,
    end: Instant,
) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (name, content) in wanted {
        let look = async {
            // One that is there is not watched.
            match (host.look(server, name, content).await, limit) {
                (Seen::Whole, _) => None,
                (last, None) => Some(last.to_string()),
                (_, Some(limit)) => {
                    let arrival = host.arrival(server, name, content, limit).await;
                    arrival.err().map(|last| last.to_string())
                }
            }
        };
        let looked = if Instant::now() < end { tokio::time::timeout_at(end, look).await.ok() } else { None };
        let seen = looked.unwrap_or_else(|| Some("nobody knows: the folder did not answer in time".to_owned()));
        wrong.extend(seen.map(|seen| Wrong { name: name.clone(), had_arrived: limit.is_none(), seen, trail: None }));
    }
    wrong
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_does_not_answer_is_not_asked_for_each_of_many_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        // Whoever reads it waits for a writer.
        let silent = root.path().join("nas/silent");
        assert!(std::process::Command::new("mkfifo").arg(&silent).status().unwrap().success());
        std::fs::write(root.path().join("nas/there"), "whole").unwrap();
        let wanted = ["there", "silent", "there", "missing"].map(|name| (name.to_owned(), b"whole".to_vec()));
        let host = Host::new(root.path().to_owned());
        let began = Instant::now();
        for limit in [Some(began), None] {
            let end = Instant::now() + Duration::from_millis(300);
            let wrong = not_whole(&host, "nas", &wanted, limit, end).await;
            let names: Vec<_> = wrong.iter().map(|wrong| (wrong.name.as_str(), wrong.had_arrived)).collect();
            assert_eq!(names, ["silent", "there", "missing"].map(|name| (name, limit.is_none())));
            assert!(wrong.iter().all(|wrong| wrong.seen.contains("did not answer")), "{wrong:?}");
            // Lets the reader go.
            std::fs::OpenOptions::new().write(true).open(&silent).unwrap();
        }
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
