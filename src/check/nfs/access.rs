//! Whether clients may write to an export: what the suite requires, and which options the values and the exports file
//! set.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use serde_json::Value;

use crate::check::parameter::{Expected, ExpectedFact};
use crate::check::{Site, System};
use crate::cluster::Operation;
use crate::event::{Reason, Verdict};

/// What clients may do in an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read only: the server refuses every write.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

impl Access {
    pub fn from_options(options: &str) -> Self {
        if split(options).any(|option| option == "ro") { Self::ReadOnly } else { Self::ReadWrite }
    }

    /// The reason to fail if the values contradict this access, which the suite requires.
    pub fn contradicted_by(self, system: &System, options: &str, expected: &Expected) -> Option<Reason> {
        // Without `ro` and `rw` the server decides, and the calls show how.
        let is_open = !split(options).any(|option| option == "ro" || option == "rw");
        if is_open || Self::from_options(options) == self {
            return None;
        }
        let (name, option) = self.names();
        let wanted = format!("{} with {option}, because the suite requires {name}", key(system));
        let hint = format!("set {option} there and run helm upgrade; or use a suite with another requirement");
        Some(Reason::new("values", wanted, format!("{options} ({})", expected.source)).hint(hint))
    }

    /// Its names in suites and in export options.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::ReadOnly => ("read-only", "ro"),
            Self::ReadWrite => ("read-write", "rw"),
        }
    }
}

/// Where to find the expected export options. The default is the system's, with the access that the suite requires; a
/// suite that requires none leaves no default.
pub fn expected_options(system: &System, requires: Option<Access>) -> Option<ExpectedFact> {
    let fact = system.facts.export_options.clone()?;
    let others = fact.default.as_ref().and_then(Value::as_str).unwrap_or_default();
    let others = split(others).filter(|option| !matches!(*option, "ro" | "rw"));
    let all = |access: Access| std::iter::once(access.names().1).chain(others).collect::<Vec<_>>().join(",").into();
    let default = requires.filter(|_| fact.default.is_some()).map(all);
    Some(ExpectedFact { default, ..fact })
}

fn key(system: &System) -> &str {
    system.facts.export_options.as_ref().map_or("", |fact| &fact.values)
}

/// ERROR, because neither the values nor the suite define what clients may do.
pub fn undefined(system: &System, expected: &Expected) -> Verdict {
    let reason = Reason::new("values", format!("{} of the server", key(system)), &expected.source);
    Verdict::error(reason.hint("set it there, or give the system a default"))
}

/// The export's live options for all clients, from the server's exports file; `None` if the file lists none.
pub async fn live_options(site: &Site, pod: &Pod) -> Result<Option<Vec<String>>, Verdict> {
    let export = &site.system.export;
    let (output, problem) = site.in_export(pod, &Operation::Read { path: export.file.clone() }).await?;
    let clients = clients(&String::from_utf8_lossy(&output.stdout), &export.folder);
    let options: BTreeSet<&str> = clients.iter().flat_map(|(_, options)| split(options)).collect();
    let options = options.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Ok(problem.is_none().then_some(options).filter(|options| !options.is_empty()))
}

/// A folder's clients and their options in an exports file: `/data 0.0.0.0/0(rw,sync) 10.0.0.0/8(ro)`.
pub fn clients(exports: &str, folder: &str) -> Vec<(String, String)> {
    let lines = exports.lines().map(|line| line.split('#').next().unwrap_or_default());
    let lines = lines.map(str::split_whitespace).filter_map(|mut words| (words.next()? == folder).then_some(words));
    let client = |word: &str| {
        let (client, options) = word.split_once('(').unwrap_or((word, ""));
        (client.to_owned(), options.trim_end_matches(')').to_owned())
    };
    lines.flatten().map(client).collect()
}

/// Splits export options, whose order is irrelevant.
pub fn split(options: &str) -> impl Iterator<Item = &str> {
    options.split(',').map(str::trim).filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::system::tests::system;

    #[test]
    fn values_that_contradict_the_suite_are_reported() {
        let contradiction = |access: Access, options: &str| {
            let expected = Expected { value: None, source: "exportOptions in the values".to_owned() };
            access.contradicted_by(&system(), options, &expected)
        };
        assert_eq!([contradiction(Access::ReadOnly, "ro,sync"), contradiction(Access::ReadWrite, "rw")], [None, None]);
        assert_eq!(contradiction(Access::ReadOnly, "sync"), None, "the server decides, and the calls show how");
        let writable = contradiction(Access::ReadOnly, "rw, sync").unwrap();
        assert_eq!(writable.expected, "exportOptions with ro, because the suite requires read-only");
        assert_eq!(writable.seen, "rw, sync (exportOptions in the values)");
        assert!(contradiction(Access::ReadWrite, "sync, ro").is_some());
    }
}
