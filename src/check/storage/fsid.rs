//! `fsid`: each server has the file system id from the values, and no two servers share one.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::findings::{Findings, listed};
use crate::check::parameter::Expected;
use crate::check::{Export, Kind, Need, Site, System};
use crate::cluster::container::{self, View};
use crate::cluster::{ApiError, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

/// How much of the log to read: the server logs its id when it starts.
const HEAD: i64 = 8 << 10;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fsid {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    server: String,
    expected: Expected,
    found: BTreeMap<String, Found>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    pod: String,
    id: Option<String>,
    place: String,
}

impl Kind for Fsid {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Nfs];
    const NEEDS: &'static [Need] = &[Need::Values];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let expected = site.expected(site.system.facts.fsid.as_ref())?;
        let (_, snapshot) = site.pod().await?;
        // During a rollout, a server's newest pod counts.
        let newest = site.system.names().filter_map(|name| {
            let server = snapshot.server(&site.system.pods, name);
            let current = server.current();
            let newest = current.iter().find(|pod| server.is_newest(pod)).or(current.first())?;
            Some((name.clone(), Arc::clone(newest)))
        });
        let found = newest.map(async |(server, pod)| {
            let place = format!("{} {}", site.prefix(), pod.name_any());
            Ok((server, site.shared.once(place, find(site, &pod).boxed()).await?))
        });
        let found =
            try_join_all(found).await.map_err(|error: ApiError| site.request_failed(&error))?.into_iter().collect();
        Ok(Observation { server: site.server().to_owned(), expected, found })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let hint = "run helm upgrade; if the release has this fsid, the live Deployment was edited";
        let Some(own) = seen.found.get(&seen.server) else {
            let reason = Reason::new(format!("server {}", seen.server), "a pod to read the fsid of", "none");
            return Verdict::error(reason.hint("run the test again after the rollout"));
        };
        let object = format!("pod {}, container {}", own.pod, system.export.container);
        let Some(id) = &own.id else {
            let variable = system.export.fsid_variable.as_deref().unwrap_or("its environment");
            let expected = format!("an fsid in its command, {variable} or its log");
            return Verdict::fail(Reason::new(object, expected, "none").hint(hint)).at(Hop::Nfs);
        };
        let mut findings = Findings::default();
        if let Some(expected) = seen.expected.mismatch("fsid", id) {
            findings.add_finding(&object, expected, format!("{id}, in {}", own.place), hint);
        }
        let others = seen.found.iter().filter(|(server, _)| **server != seen.server);
        let same = others.filter(|(_, other)| other.id.as_ref() == Some(id));
        let same: Vec<&str> = same.map(|(server, _)| server.as_str()).collect();
        if !same.is_empty() {
            let expected = format!("an fsid that no other server has (its own is {id})");
            let hint = "give each server its own fsid: clients confuse exports with the same fsid";
            findings.add_finding(&object, expected, format!("also the fsid of {}", listed(same)), hint);
        }
        let others = seen.found.len() - 1;
        findings.verdict(format!("fsid {id}, in {}; none of {others} other servers has it", own.place)).at(Hop::Nfs)
    }
}

async fn find(site: &Site, pod: &Pod) -> Result<Found, ApiError> {
    let export = &site.system.export;
    let found = |id: Option<String>, place: &str| Found { pod: pod.name_any(), id, place: place.to_owned() };
    // A pod's spec is immutable, so the running server was started with this value.
    if let Some((id, place)) = container::named(pod, &export.container).and_then(|view| declared(export, &view)) {
        return Ok(found(id, place));
    }
    match site.shared.cluster.log(&pod.name_any(), &export.container, None, HEAD).await {
        Ok(lines) => Ok(found(lines.iter().find_map(|(_, line)| id_in(line)), "its log")),
        // The log is not available yet, or no longer.
        Err(ApiError::Failed { .. } | ApiError::NotFound { .. }) => Ok(found(None, "its log")),
        Err(error) => Err(error),
    }
}

/// The id in a container's spec, and where it is. Only the log shows the value of a variable with `valueFrom`.
fn declared<'a>(export: &'a Export, view: &View<'_>) -> Option<(Option<String>, &'a str)> {
    if let Some(id) = view.command.iter().chain(view.args).find_map(|word| id_in(word)) {
        return Some((Some(id), "its command"));
    }
    let name = export.fsid_variable.as_deref()?;
    let variable = view.env.iter().find(|variable| variable.name == name)?;
    variable.value_from.is_none().then(|| (variable.value.clone(), name))
}

/// The id in a command or a log line, in the syntax of exports(5).
fn id_in(text: &str) -> Option<String> {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split("fsid=").skip(1).map(digits).find(|digits| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::check::system::tests::system;
    use crate::cluster::example::output_pod;
    use crate::event::Outcome;

    #[test]
    fn a_variable_with_value_from_is_left_to_the_log() {
        for (container, id) in [
            (json!({"command": ["unfsd", "fsid=3"]}), Some(Some("3".to_owned()))),
            (json!({"env": [{"name": "FSID", "value": "4"}]}), Some(Some("4".to_owned()))),
            (json!({"env": [{"name": "FSID", "valueFrom": {}}]}), None),
            (json!({}), None),
        ] {
            let mut pod = output_pod();
            json_patch::merge(&mut pod["spec"]["containers"][0], &container);
            let pod = serde_json::from_value(pod).unwrap();
            let view = container::named(&pod, "nfs-server").unwrap();
            assert_eq!(declared(&system().export, &view).map(|(id, _)| id), id, "{container}");
        }
    }

    #[test]
    fn an_id_must_exist_and_may_be_any_if_the_values_have_none() {
        for (expected, own, outcome) in
            [(Value::Null, json!("9"), Outcome::Pass), (json!(5), Value::Null, Outcome::Fail)]
        {
            let found = |id: &Value| json!({"pod": "p", "id": id, "place": "its log"});
            let seen = json!({"server": "a", "expected": {"value": expected, "source": "test"},
                "found": {"a": found(&own), "b": found(&json!("6"))}});
            let verdict = judged::<Fsid>(json!({}), seen);
            assert_eq!(verdict.outcome, outcome, "{expected} {own}");
        }
        let unseen = json!({"server": "a", "expected": {"value": 5, "source": "test"}, "found": {}});
        assert_eq!(judged::<Fsid>(json!({}), unseen).outcome, Outcome::Error, "its own pod was not found");
    }
}
