//! A run's id, which all names of its files start with.

use crate::random;

pub const PREFIX: &str = "e2e-";
const LENGTH: usize = 8;

pub fn new() -> String {
    format!("{PREFIX}{}", random::text(LENGTH).to_lowercase())
}

/// The id of the run that a file belongs to, if its name is `id-suite-slug-server-what` with one of these servers, or that of
/// rsync's temporary file for such a name, `.NAME.XXXXXX`. Any other file is not a run's.
pub fn of<'a>(name: &'a str, servers: &[String]) -> Option<&'a str> {
    let is_plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_random = |text: &str| text.len() == 6 && text.chars().all(|c| c.is_ascii_alphanumeric());
    let temporary = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    let name = temporary.filter(|(_, random)| is_random(random)).map_or(name, |(name, _)| name);
    let (id, rest) = name.split_at_checked(PREFIX.len() + LENGTH)?;
    is_plain(id.strip_prefix(PREFIX)?).then_some(())?;
    let rest = rest.strip_prefix('-')?;
    let is_of = |server: &String| {
        let (test, what) = rest.split_once(&format!("-{server}-")).unwrap_or_default();
        let (suite, slug) = test.split_once('-').unwrap_or_default();
        !suite.is_empty() && !slug.is_empty() && is_plain(&test.replace('-', "")) && !what.is_empty()
    };
    servers.iter().any(is_of).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_a_run_only_if_its_whole_name_has_the_form_that_runs_use() {
        let servers = ["nas-input-1".to_owned(), "nas-output-1".to_owned()];
        let id = new();
        assert_eq!(of(&format!("{id}-phase3-latency-nas-output-1-sync.txt"), &servers), Some(id.as_str()));
        assert_eq!(of(".e2e-0a1b2c3d-phase3-sync-nas-output-1-a.txt.Ab12Cd", &servers), Some("e2e-0a1b2c3d"));
        assert!(of("e2e-0a1b2c3d-data-safety-file-names-nas-input-1-ä b", &servers).is_some());
        for other in [
            "e2e-20261121-report.pdf",
            "e2e-20261121-notes-on-nas-output-1",
            "e2e-20261121-nas-output-1-notes.txt",
            "e2e-20261121-phase3-latency-nas-output-9-sync.txt",
            "e2e-20261121-Phase3-latency-nas-output-1-sync.txt",
            "e2e-2026112-phase3-latency-nas-output-1-sync.txt",
            "e2e-202611211-phase3-latency-nas-output-1-sync.txt",
            "e2e-2026112A-phase3-latency-nas-output-1-sync.txt",
            "e2e-202611ä1-phase3-latency-nas-output-1-sync.txt",
            "my-e2e-20261121-phase3-latency-nas-output-1-sync.txt",
            ".e2e-20261121-phase3-latency-nas-output-1-sync.txt",
            ".e2e-20261121-phase3-latency-nas-output-1-sync.txt.Ab12C-",
            "e2e-20261121.Ab12Cd",
            "e2e-",
            "",
        ] {
            assert_eq!(of(other, &servers), None, "{other}");
        }
    }
}
