//! `fsid`: each server has the file system id that the values say, and no two have the same.

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

/// The server says its id when it starts: so much of its log is read.
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

/// The id of one server's pod, and where it was found.
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
        let (_, population) = site.pod().await?;
        // Of a server that rolls out the newest.
        let newest = site.system.names().filter_map(|name| {
            let server = population.server(&site.system.pods, name);
            let current = server.current();
            let newest = current.iter().find(|pod| server.is_newest(pod)).or(current.first())?;
            Some((name.clone(), Arc::clone(newest)))
        });
        let looks = newest.map(async |(server, pod)| {
            let place = format!("{} {}", site.prefix(), pod.name_any());
            Ok((server, site.shared.once(place, of(site, &pod).boxed()).await?))
        });
        let found = try_join_all(looks).await.map_err(|error: ApiError| site.no_answer(&error))?.into_iter().collect();
        Ok(Observation { server: site.server().to_owned(), expected, found })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let hint = "run helm upgrade; if the release has it, the live Deployment was edited";
        let Some(own) = seen.found.get(&seen.server) else {
            let reason = Reason::new(format!("server {}", seen.server), "a pod that was looked at", "none");
            return Verdict::error(reason.hint("run the test again when the rollout is over"));
        };
        let object = format!("pod {}, container {}", own.pod, system.export.container);
        let Some(id) = &own.id else {
            let variable = system.export.fsid_variable.as_deref().unwrap_or("its environment");
            let expected = format!("an fsid in its command, {variable} or its log");
            return Verdict::fail(Reason::new(object, expected, "none").hint(hint)).at(Hop::Nfs);
        };
        let mut findings = Findings::default();
        if let Some(expected) = seen.expected.unlike("fsid", id) {
            findings.wrong(&object, expected, format!("{id}, in {}", own.place), hint);
        }
        let others = seen.found.iter().filter(|(server, _)| **server != seen.server);
        let twins = others.filter(|(_, other)| other.id.as_ref() == Some(id));
        let twins: Vec<&str> = twins.map(|(server, _)| server.as_str()).collect();
        if !twins.is_empty() {
            let expected = format!("an fsid that no other server has (its own is {id})");
            let hint = "give each server an fsid of its own: clients take two exports with one id for the same";
            findings.wrong(&object, expected, format!("{} has it too", listed(twins)), hint);
        }
        let others = seen.found.len() - 1;
        findings.verdict(format!("fsid {id}, in {}; none of {others} others has it", own.place)).at(Hop::Nfs)
    }
}

async fn of(site: &Site, pod: &Pod) -> Result<Found, ApiError> {
    let export = &site.system.export;
    let found = |id: Option<String>, place: &str| Found { pod: pod.name_any(), id, place: place.to_owned() };
    // A pod's spec never changes, so what it says is what the running server was given.
    if let Some((id, place)) = container::named(pod, &export.container).and_then(|view| declared(export, &view)) {
        return Ok(found(id, place));
    }
    match site.shared.cluster.log(&pod.name_any(), &export.container, None, HEAD).await {
        Ok(lines) => Ok(found(lines.iter().find_map(|(_, line)| id_in(line)), "its log")),
        // Nothing was said yet, or it is said no more.
        Err(ApiError::Failed { .. } | ApiError::NotFound { .. }) => Ok(found(None, "its log")),
        Err(error) => Err(error),
    }
}

/// The id that a container's spec has, and where. A variable that comes from elsewhere the server has to say itself.
fn declared<'a>(export: &'a Export, view: &View<'_>) -> Option<(Option<String>, &'a str)> {
    if let Some(id) = view.command.iter().chain(view.args).find_map(|word| id_in(word)) {
        return Some((Some(id), "its command"));
    }
    let name = export.fsid_variable.as_deref()?;
    let variable = view.env.iter().find(|variable| variable.name == name)?;
    variable.value_from.is_none().then(|| (variable.value.clone(), name))
}

/// The id in a command or a line of a log, as exports(5) writes it.
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
    fn a_variable_from_elsewhere_is_left_to_the_log() {
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
    fn an_id_must_be_there_and_may_be_any_where_the_values_have_none() {
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
        assert_eq!(judged::<Fsid>(json!({}), unseen).outcome, Outcome::Error, "its own pod was not looked at");
    }
}
