//! `export-options`: the running server exports its folder with the options that the values say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::check::nfs::Access;
use crate::check::parameter::{Expected, Export, Fact};
use crate::check::{Kind, Need, Site};
use crate::cluster::{Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportOptions {
    /// The export, in the server's container.
    pub export: Export,
    /// The file that the server reads its exports from, in the format of exports(5).
    pub file: String,
    /// The options, separated by commas.
    pub options: Fact,
    /// What clients may do there, whatever the values say; where it is not said, the values decide.
    pub requires: Option<Access>,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    expected: Expected,
    /// The clients of the folder and their options, or why the file could not be read.
    clients: Result<Vec<(String, String)>, String>,
}

impl Kind for ExportOptions {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Commands];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(&self.options)?;
        let (pod, _) = site.pod().await?;
        site.running(&pod, &self.export.container)?;
        let read = Operation::Read { path: self.file.clone() };
        let (output, problem) = site.try_exec(&pod, &self.export.container, &read).await?;
        let clients = clients(&String::from_utf8_lossy(&output.stdout), &self.export.folder);
        Ok(Observation { pod: pod.name_any(), expected, clients: problem.map_or(Ok(clients), Err) })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let Export { container, folder } = &self.export;
        let object = format!("pod {}, container {container}, {}", seen.pod, self.file);
        let Some(expected) = seen.expected.text() else {
            let reason = Reason::new(object, format!("{} in the values", self.options.values), &seen.expected.source);
            return Verdict::error(reason.hint("say it there, or give the check a default"));
        };
        let clients = match &seen.clients {
            Ok(clients) if clients.is_empty() => Err(format!("no line for {folder}")),
            Ok(clients) => Ok(clients),
            Err(problem) => Err(problem.clone()),
        };
        let clients = match clients {
            Ok(clients) => clients,
            Err(problem) => {
                let reason = Reason::new(object, format!("a line that exports {folder}"), problem);
                return Verdict::judged("", vec![reason.hint("look at the log of the server")]).at(Hop::Nfs);
            }
        };
        let wanted = set(&expected);
        let differing = clients.iter().filter(|(_, options)| set(options) != wanted);
        let contradicted = |own: Access| own.contradicted(&self.options.values, &expected, &seen.expected);
        let differing = differing.map(|(client, options)| {
            let expected = format!("{folder} with {expected} ({})", seen.expected.source);
            let reason = Reason::new(&object, expected, format!("{options} for {client}"));
            reason.hint("run helm upgrade; if the release has them, the live Deployment was edited")
        });
        let reasons = self.requires.and_then(contradicted).into_iter().chain(differing).collect();
        Verdict::judged(format!("{folder} is exported with {expected}"), reasons).at(Hop::Nfs)
    }
}

/// Clients and their options in the lines for a folder: `/data 0.0.0.0/0(rw,sync) 10.0.0.0/8(ro)`.
fn clients(exports: &str, folder: &str) -> Vec<(String, String)> {
    let lines = exports.lines().map(|line| line.split('#').next().unwrap_or_default());
    let lines = lines.map(str::split_whitespace).filter_map(|mut words| (words.next()? == folder).then_some(words));
    let client = |word: &str| {
        let (client, options) = word.split_once('(').unwrap_or((word, ""));
        (client.to_owned(), options.trim_end_matches(')').to_owned())
    };
    lines.flatten().map(client).collect()
}

/// Options as a set: their order means nothing.
fn set(options: &str) -> BTreeSet<&str> {
    options.split(',').map(str::trim).filter(|option| !option.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    fn judged(expected: &Value, exports: Result<&str, &str>) -> Outcome {
        judged_by(None, expected, exports)
    }

    fn judged_by(requires: Option<&str>, expected: &Value, exports: Result<&str, &str>) -> Outcome {
        let check: ExportOptions = serde_json::from_value(json!({
            "export": {"container": "nfs-server", "folder": "/data"}, "file": "/etc/exports",
            "options": {"values": "exportOptions"}, "requires": requires
        }))
        .unwrap();
        let expected =
            Expected { value: Some(expected.clone()).filter(|value| !value.is_null()), source: "test".into() };
        let clients = exports.map(|text| clients(text, "/data")).map_err(str::to_owned);
        check.judge(&Observation { pod: "p".into(), expected, clients }).outcome
    }

    #[test]
    fn the_options_must_be_those_of_the_values_in_any_order() {
        let expected = json!("rw,sync,no_root_squash");
        let with = |options: &str| judged(&expected, Ok(&format!("# exports\n/data 0.0.0.0/0({options})\n")));
        assert_eq!(with("sync,rw,no_root_squash"), Outcome::Pass);
        assert_eq!(with("ro,sync,no_root_squash"), Outcome::Fail);
        assert_eq!(with("rw,sync,no_root_squash,insecure"), Outcome::Fail);
        assert_eq!(with(""), Outcome::Fail);
    }

    #[test]
    fn a_file_without_the_folder_and_no_file_fail_and_unknown_options_are_not_judged() {
        let expected = json!("rw");
        assert_eq!(judged(&expected, Ok("/data2 *(rw)")), Outcome::Fail);
        assert_eq!(judged(&expected, Ok("/data")), Outcome::Fail);
        assert_eq!(judged(&expected, Err("No such file")), Outcome::Fail);
        assert_eq!(judged(&Value::Null, Ok("/data *(rw)")), Outcome::Error);
    }

    #[test]
    fn what_the_suite_requires_holds_whatever_the_values_say() {
        let both = |requires: &str, options: &str| {
            judged_by(Some(requires), &json!(options), Ok(&format!("/data *({options})")))
        };
        assert_eq!([both("read-only", "ro,sync"), both("read-write", "rw,sync")], [Outcome::Pass; 2]);
        assert_eq!([both("read-only", "rw,sync"), both("read-write", "ro,sync")], [Outcome::Fail; 2]);
    }
}
