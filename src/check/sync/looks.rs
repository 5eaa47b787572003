//! Looking at many files within a time: a folder that does not answer is not asked for each of them.

use std::time::Duration;

use tokio::time::Instant;

use super::scene::{Wanted, Wrong};
use crate::host::{Host, Seen};

/// How long all looks may take beyond the wait for what is looked at.
pub const ALL: Duration = Duration::from_secs(30);

/// Those of the files that are not whole, looked at in turn: each is awaited until the limit, if there is one; then it has
/// not arrived, else it was whole before. After the end none is looked at.
///
/// # Errors
/// All that were looked at are whole, and the folder did not answer in time for the others: so many.
pub async fn not_whole(
    host: &Host,
    server: &str,
    wanted: &[Wanted],
    limit: Option<Instant>,
    end: Instant,
) -> Result<Vec<Wrong>, usize> {
    let (mut wrong, mut unknown) = (Vec::new(), 0);
    for (name, content) in wanted {
        let look = async {
            match limit {
                Some(limit) => host.arrival(server, name, content, limit).await.err(),
                None => Some(host.look(server, name, content).await).filter(|seen| *seen != Seen::Whole),
            }
        };
        let looked = if Instant::now() < end { tokio::time::timeout_at(end, look).await.ok() } else { None };
        match looked {
            None => unknown += 1,
            Some(None) => {}
            Some(Some(seen)) => {
                let seen = seen.to_string();
                wrong.push(Wrong { name: name.clone(), had_arrived: limit.is_none(), seen, trail: None });
            }
        }
    }
    if wrong.is_empty() && unknown > 0 { Err(unknown) } else { Ok(wrong) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[tokio::test]
    async fn a_folder_that_does_not_answer_is_not_asked_for_each_of_many_files() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("nas")).unwrap();
        // Whoever reads it waits for a writer.
        let silent = root.path().join("nas/silent");
        assert!(std::process::Command::new("mkfifo").arg(&silent).status().unwrap().success());
        std::fs::write(root.path().join("nas/there"), "whole").unwrap();
        let wanted = ["there", "silent", "there", "missing"].map(|name| (name.to_owned(), Digest::of("whole")));
        let host = Host::new(root.path().to_owned());
        for limit in [Some(Instant::now()), None] {
            let end = Instant::now() + Duration::from_millis(300);
            let unknown = not_whole(&host, "nas", &wanted, limit, end).await.unwrap_err();
            assert_eq!(unknown, 3, "all but the first");
            // Lets the reader go.
            std::fs::OpenOptions::new().write(true).open(&silent).unwrap();
        }
        let wrong = not_whole(&host, "nas", &wanted[2..], None, Instant::now() + ALL).await.unwrap();
        assert!(wrong.len() == 1 && wrong[0].name == "missing" && wrong[0].had_arrived, "{wrong:?}");
    }
}
