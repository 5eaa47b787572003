//! Whether clients may write into an export: what a suite requires, what the values and the server's exports file say.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;

use crate::check::parameter::{Expected, Fact};
use crate::check::{Site, System};
use crate::cluster::Operation;
use crate::event::{Reason, Verdict};

/// What clients may do in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// They may read, and nothing can be written.
    ReadOnly,
    /// They may write.
    ReadWrite,
}

impl Access {
    /// What options say: with `ro`, nothing can be written.
    pub fn of(options: &str) -> Self {
        if words(options).any(|word| word == "ro") { Self::ReadOnly } else { Self::ReadWrite }
    }

    /// The reason to fail if the values say something else than this, which the suite requires.
    pub fn contradicted(self, system: &System, options: &str, expected: &Expected) -> Option<Reason> {
        let is_open = !words(options).any(|word| word == "ro" || word == "rw");
        // What options leave to the server shows in what it does.
        if is_open || Self::of(options) == self {
            return None;
        }
        let (name, option) = self.names();
        let wanted = format!("{} with {option}, because the suite requires {name}", key(system));
        let hint = format!("say {option} there, and run helm upgrade; or use a suite that requires something else");
        Some(Reason::new("values", wanted, format!("{options} ({})", expected.source)).hint(hint))
    }

    /// Its names in suites, and in options.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadOnly => ("read-only", "ro"),
            Self::ReadWrite => ("read-write", "rw"),
        }
    }
}

/// The options that an export should have: where the values do not say, the system's with what is required. Where nothing is
/// required, the values have to say.
pub fn options(system: &System, requires: Option<Access>) -> Option<Fact> {
    let fact = system.facts.export_options.clone()?;
    let others = fact.default.as_ref().and_then(Value::as_str).unwrap_or_default();
    let others = words(others).filter(|option| !matches!(*option, "ro" | "rw"));
    let all = |access: Access| std::iter::once(access.names().1).chain(others).collect::<Vec<_>>().join(",").into();
    let default = requires.filter(|_| fact.default.is_some()).map(all);
    Some(Fact { default, ..fact })
}

/// The path of the options in the values.
pub fn key(system: &System) -> &str {
    system.facts.export_options.as_ref().map_or("", |fact| &fact.values)
}

/// ERROR, because nobody says what clients may do.
pub fn unknown(system: &System, expected: &Expected) -> Verdict {
    let reason = Reason::new("values", format!("{} of the server", key(system)), &expected.source);
    Verdict::error(reason.hint("say it there, or give the system a default"))
}

/// The live options of an export for all clients, from the file that its server reads; `None` if the file does not say.
pub async fn live(site: &Site, pod: &Pod) -> Result<Option<Vec<String>>, Verdict> {
    let export = &site.system.export;
    let (output, problem) = site.in_export(pod, &Operation::Read { path: export.file.clone() }).await?;
    let clients = clients(&String::from_utf8_lossy(&output.stdout), &export.folder);
    let options: BTreeSet<&str> = clients.iter().flat_map(|(_, options)| words(options)).collect();
    let options = options.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Ok(problem.is_none().then_some(options).filter(|options| !options.is_empty()))
}

/// Clients and their options in the lines for a folder: `/data 0.0.0.0/0(rw,sync) 10.0.0.0/8(ro)`.
pub fn clients(exports: &str, folder: &str) -> Vec<(String, String)> {
    let lines = exports.lines().map(|line| line.split('#').next().unwrap_or_default());
    let lines = lines.map(str::split_whitespace).filter_map(|mut words| (words.next()? == folder).then_some(words));
    let client = |word: &str| {
        let (client, options) = word.split_once('(').unwrap_or((word, ""));
        (client.to_owned(), options.trim_end_matches(')').to_owned())
    };
    lines.flatten().map(client).collect()
}

/// Options one by one: their order means nothing.
pub fn words(options: &str) -> impl Iterator<Item = &str> {
    options.split(',').map(str::trim).filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::system::tests::system;

    #[test]
    fn values_that_say_something_else_than_the_suite_are_told() {
        let told = |access: Access, options: &str| {
            let expected = Expected { value: None, source: "exportOptions in the values".to_owned() };
            access.contradicted(&system(), options, &expected)
        };
        assert_eq!([told(Access::ReadOnly, "ro,sync"), told(Access::ReadWrite, "rw")], [None, None]);
        assert_eq!(told(Access::ReadOnly, "sync"), None, "left to the server, which the calls try");
        let writable = told(Access::ReadOnly, "rw, sync").unwrap();
        assert_eq!(writable.expected, "exportOptions with ro, because the suite requires read-only");
        assert_eq!(writable.seen, "rw, sync (exportOptions in the values)");
        assert!(told(Access::ReadWrite, "sync, ro").is_some());
    }
}
