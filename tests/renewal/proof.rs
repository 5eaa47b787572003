//! That verdicts of recordings are told, kept and migrated as they should be, on a copy of one.

use std::path::PathBuf;

use file_simulator_e2e::recording::Recording;
use libtest_mimic::Trial;
use tempfile::TempDir;

use super::{Renewed, bless, migrate};
use crate::recorded::path;

/// Those whose commands are a shell's and sed's need them.
pub fn tests() -> Vec<Trial> {
    let all = trials!("renewal":
        what_is_judged_as_it_was_is_not_touched,
        a_changed_verdict_is_told_in_words_and_kept_if_it_is_wished_so,
        what_is_no_recording_any_more_changes_nothing,
        an_observation_that_cannot_be_read_is_never_kept,
    );
    all.into_iter().map(|trial| trial.with_ignored_flag(cfg!(windows))).collect()
}

/// A folder with a recording of one test, which FAILs.
struct Copy {
    folder: TempDir,
    file: PathBuf,
}

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("restarted.json.gz");
        std::fs::copy(path("restarted"), &file).unwrap();
        Self { folder, file }
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.file).unwrap()
    }

    fn migrate(&self, command: &str) -> Result<Vec<String>, String> {
        migrate(self.folder.path(), command).map_err(|failed| failed.message().unwrap().to_owned())
    }

    fn bless(&self) -> Vec<String> {
        bless(self.folder.path()).unwrap()
    }

    fn told(&self) -> Vec<String> {
        Renewed::read(&self.file).unwrap().told
    }
}

fn what_is_judged_as_it_was_is_not_touched() {
    let copy = Copy::new();
    let modified = || std::fs::metadata(&copy.file).unwrap().modified().unwrap();
    let before = (copy.bytes(), modified());
    assert_eq!(copy.migrate("cat").unwrap(), Vec::<String>::new());
    assert_eq!(copy.bless(), Vec::<String>::new());
    assert!((copy.bytes(), modified()) == before);
}

fn a_changed_verdict_is_told_in_words_and_kept_if_it_is_wished_so() {
    let copy = Copy::new();
    let original = copy.bytes();
    // An observation, and a suite's text.
    let there = r#"sed 's/"absent":30906/"absent":32006/; s/within: 30s/within: 31s/g'"#;
    assert_eq!(copy.migrate(there).unwrap(), ["restarted"]);
    let migrated = copy.bytes();
    let told = copy.told();
    assert_eq!(told[0], "restarted: restarts::win-02::nas-output-2: FAIL in other words");
    let said = |sign: &str, words: &[&str]| {
        let line = |line: &String| line.starts_with(sign) && words.iter().all(|word| line.contains(word));
        assert!(told.iter().any(line), "no {sign} {words:?} in {told:#?}");
    };
    said("  - ", &["within 30s", "no file of that name after 30.9 s"]);
    said("  + ", &["within 31s", "no file of that name after 32.0 s"]);
    said("  - ", &["limit 30s"]);
    assert!(!told.iter().any(|line| line.contains("note:")), "what is as it was is not told: {told:#?}");
    assert!(copy.bytes() == migrated, "nothing is kept by telling");
    assert_eq!((copy.bless(), copy.told()), (told, Vec::new()));
    assert!(copy.bytes() != migrated && copy.bytes() != original);
    let back = r#"sed 's/"absent":32006/"absent":30906/; s/within: 31s/within: 30s/g'"#;
    copy.migrate(back).unwrap();
    copy.bless();
    assert!(copy.bytes() == original, "the same recording is the same file");
}

fn what_is_no_recording_any_more_changes_nothing() {
    let copy = Copy::new();
    let original = copy.bytes();
    for (command, words) in [
        ("cat; exit 3", "exit status: 3"),
        ("echo '{}'", "missing field"),
        ("sed 's/within:/withn:/'", "did you mean `within`"),
    ] {
        let failed = copy.migrate(command).unwrap_err();
        assert!(failed.starts_with("restarted: ") && failed.contains(words), "{failed}");
    }
    assert!(copy.bytes() == original);
}

fn an_observation_that_cannot_be_read_is_never_kept() {
    let copy = Copy::new();
    copy.migrate(r#"sed 's/"arrival":/"came-at":/'"#).unwrap();
    let migrated = copy.bytes();
    let told = copy.bless();
    assert!(
        told[0].ends_with("was FAIL, is ERROR") && told[1..].concat().contains("missing field `arrival`"),
        "{told:#?}"
    );
    assert!(copy.bytes() == migrated && copy.told() == told);
    let verdict = &Recording::read(&copy.file).unwrap().cases[0].verdict;
    assert!(verdict.reasons.iter().any(|reason| reason.seen.contains("30.9 s")), "{verdict:?}");
}
