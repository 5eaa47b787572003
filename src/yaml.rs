//! YAML that people wrote: how Helm reads it, and what is wrong with it, in their words. Imports nothing of ours.

use serde_saphyr::{DuplicateKeyPolicy, Location, Options, UserMessageFormatter};

/// As Go's parser reads it, which Helm uses: of keys that stand twice the last, and 0644 is octal.
pub fn as_helm() -> Options {
    serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins, legacy_octal_numbers: true }
}

/// What is wrong with YAML: its place, and the words of who writes such files.
pub fn wrong(origin: &str, error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;
    let mut plain = error;
    while let E::WithSnippet { error, .. } | E::AliasError { error, .. } = plain {
        plain = error;
    }
    let what = match plain {
        E::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` is there twice"),
        E::MultipleDocuments { .. } => "there are several documents, and one is expected".into(),
        E::Budget { .. } | E::AliasReplayLimitExceeded { .. } | E::AliasReplayStackDepthExceeded { .. } => {
            "with its aliases it is larger or deeper than any such file".into()
        }
        plain => plain.render_with_formatter(&UserMessageFormatter),
    };
    // The place stands in front already.
    let what = what.lines().next().and_then(|line| line.split(" at line ").next()).unwrap_or_default();
    // What has no place is wrong with the whole, such as an empty file.
    let place = error.location().filter(|at| at.line() > 0).map(|at| place(origin, at));
    format!("{}: {what}", place.unwrap_or_else(|| format!("{origin}:1:1")))
}

/// A place in a file, as editors open it.
pub fn place(origin: &str, location: Location) -> String {
    format!("{origin}:{}:{}", location.line(), location.column())
}
