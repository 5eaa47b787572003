//! YAML files: Helm's dialect, and error messages for their authors. Imports no other module.

use serde_saphyr::{DuplicateKeyPolicy, Location, Options, UserMessageFormatter};

/// Options that match Helm's parser: the last of two equal keys wins, and 0644 is octal.
pub fn as_helm() -> Options {
    serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::LastWins, legacy_octal_numbers: true }
}

pub fn describe(origin: &str, error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error as E;
    let mut plain = error;
    while let E::WithSnippet { error, .. } | E::AliasError { error, .. } = plain {
        plain = error;
    }
    let what = match plain {
        E::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key `{key}`"),
        E::MultipleDocuments { .. } => "several documents, expected one".into(),
        E::Budget { .. } | E::AliasReplayLimitExceeded { .. } | E::AliasReplayStackDepthExceeded { .. } => {
            "too large or too deeply nested once its aliases are expanded".into()
        }
        plain => plain.render_with_formatter(&UserMessageFormatter),
    };
    // The message starts with the place already.
    let what = what.lines().next().and_then(|line| line.split(" at line ").next()).unwrap_or_default();
    // An error without a place concerns the whole file, such as an empty one.
    let place = error.location().filter(|at| at.line() > 0).map(|at| place(origin, at));
    format!("{}: {what}", place.unwrap_or_else(|| format!("{origin}:1:1")))
}

/// `file:line:column`, which editors can open.
pub fn place(origin: &str, location: Location) -> String {
    format!("{origin}:{}:{}", location.line(), location.column())
}
