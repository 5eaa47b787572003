//! `export-options`: the running server exports its folder with the options that the values say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::check::nfs::access::{Access, clients, words};
use crate::check::parameter::{Expected, Export, Fact};
use crate::check::{Kind, Need, Site};
use crate::cluster::{Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

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
        let problem = match &seen.clients {
            Ok(clients) if clients.is_empty() => Some(format!("no line for {folder}")),
            clients => clients.as_ref().err().cloned(),
        };
        if let Some(problem) = problem {
            let reason = Reason::new(object, format!("a line that exports {folder}"), problem);
            return Verdict::judged("", vec![reason.hint("look at the log of the server")]).at(Hop::Nfs);
        }
        let set = |options| words(options).collect::<BTreeSet<_>>();
        let wanted = set(&expected);
        let differing = seen.clients.iter().flatten().filter(|(_, options)| set(options.as_str()) != wanted);
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Outcome;

    #[test]
    fn the_options_of_every_client_must_be_those_of_the_values_in_any_order() {
        let values = json!("rw,sync");
        for (expected, exports, outcome) in [
            (&values, Ok("# exports\n/data 0.0.0.0/0(sync, rw)\n/data2 *(x)"), Outcome::Fail),
            (&values, Ok("# /data *(ro)\n/data 0.0.0.0/0(sync,rw)\n/data2 *(x)"), Outcome::Pass),
            (&values, Ok("/data *(rw,sync,insecure)"), Outcome::Fail),
            (&values, Ok("/data *(rw,sync) 10.0.0.0/8(ro)"), Outcome::Fail),
            (&values, Ok("/data"), Outcome::Fail),
            (&values, Ok("/data2 *(rw,sync)"), Outcome::Fail),
            (&values, Err("No such file"), Outcome::Fail),
            (&Value::Null, Ok("/data *(rw)"), Outcome::Error),
        ] {
            let check: ExportOptions = serde_json::from_value(json!({
                "export": {"container": "nfs-server", "folder": "/data"}, "file": "/etc/exports",
                "options": {"values": "exportOptions"}
            }))
            .unwrap();
            let clients = exports.map(|text| clients(text, "/data")).map_err(str::to_owned);
            let expected = serde_json::from_value(json!({"value": expected, "source": "test"})).unwrap();
            let seen = Observation { pod: "p".into(), expected, clients };
            assert_eq!(check.judge(&seen).outcome, outcome, "{exports:?}");
        }
    }
}
