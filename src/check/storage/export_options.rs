//! `export-options`: the running server exports its folder with the options from the values.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::check::nfs::access::{self, Access, clients, split};
use crate::check::parameter::Expected;
use crate::check::{Export, Kind, Need, Part, Site, System};
use crate::cluster::{Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExportOptions {
    /// What clients may do in the export, whatever the values set; if absent, the values decide.
    pub requires: Option<Access>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: String,
    expected: Expected,
    /// The folder's clients and their options, or why the exports file could not be read.
    clients: Result<Vec<(String, String)>, String>,
}

impl Kind for ExportOptions {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Values, Need::Commands];
    const PARTS: &'static [Part] = &[Part::ExportOptions];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let system = &site.system;
        let expected = site.expected(access::expected_options(system, self.requires).as_ref())?;
        let (pod, _) = site.pod().await?;
        site.require_running(&pod, &system.export.container)?;
        let read = Operation::Read { path: system.export.file.clone() };
        let (output, problem) = site.in_export(&pod, &read).await?;
        let clients = clients(&String::from_utf8_lossy(&output.stdout), &system.export.folder);
        Ok(Observation { pod: pod.name_any(), expected, clients: problem.map_or(Ok(clients), Err) })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let Export { container, folder, file, .. } = &system.export;
        let object = format!("pod {}, container {container}, {file}", seen.pod);
        let Some(expected) = seen.expected.text() else { return access::undefined(system, &seen.expected) };
        let problem = match &seen.clients {
            Ok(clients) if clients.is_empty() => Some(format!("no line for {folder}")),
            clients => clients.as_ref().err().cloned(),
        };
        if let Some(problem) = problem {
            let reason = Reason::new(object, format!("a line that exports {folder}"), problem);
            return Verdict::fail(reason.hint("read the server's log")).at(Hop::Nfs);
        }
        let set = |options| split(options).collect::<BTreeSet<_>>();
        let wanted = set(&expected);
        let differing = seen.clients.iter().flatten().filter(|(_, options)| set(options.as_str()) != wanted);
        let contradiction = |access: Access| access.contradicted_by(system, &expected, &seen.expected);
        let differing = differing.map(|(client, options)| {
            let expected = format!("{folder} with {expected} ({})", seen.expected.source);
            let reason = Reason::new(&object, expected, format!("{options} for {client}"));
            reason.hint("run helm upgrade; if the release has these options, the live Deployment was edited")
        });
        let reasons = self.requires.and_then(contradiction).into_iter().chain(differing).collect();
        Verdict::judged(format!("{folder} is exported with {expected}"), reasons).at(Hop::Nfs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::system::tests::system;
    use crate::event::Outcome;

    #[test]
    fn every_client_must_have_the_options_from_the_values_in_any_order() {
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
            let clients = exports.map(|text| clients(text, "/data")).map_err(str::to_owned);
            let expected = serde_json::from_value(json!({"value": expected, "source": "test"})).unwrap();
            let seen = Observation { pod: "p".into(), expected, clients };
            assert_eq!(ExportOptions { requires: None }.judge(&system(), &seen).outcome, outcome, "{exports:?}");
        }
    }
}
