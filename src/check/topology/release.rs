//! `release`: the newest revision of the Helm release is deployed.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Need, Site, Subject, System};
use crate::cluster::Deployed;
use crate::event::{Reason, Verdict};

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    name: String,
    context: String,
    namespace: String,
    /// `None` if Helm does not know the release.
    deployed: Option<Deployed>,
    now: Timestamp,
}

impl Kind for Release {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::System;
    const NEEDS: &'static [Need] = &[Need::Release];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let cluster = &site.shared.cluster;
        let deployed = site.shared.release.as_ref().map_err(|error| site.request_failed(error))?;
        Ok(Observation {
            name: cluster.release().to_owned(),
            context: cluster.context().to_owned(),
            namespace: cluster.namespace().to_owned(),
            deployed: deployed.clone(),
            now: cluster.now(),
        })
    }

    fn judge(&self, _: &System, seen: &Observation) -> Verdict {
        let object = format!("Helm release {}", seen.name);
        let helm = |command: &str| {
            format!("helm --kube-context={} -n {} {command} {}", seen.context, seen.namespace, seen.name)
        };
        let Some(deployed) = &seen.deployed else {
            let what = format!("no release of this name in namespace {}", seen.namespace);
            let install = helm("upgrade --install");
            let hint = format!(
                "install it: `{install} CHART`; or name another release with --release; if HELM_DRIVER is not \
                 `secret`, skip this test and `drift`, which read only Secrets"
            );
            return Verdict::fail(Reason::new(object, "deployed", what).hint(hint));
        };
        // If the clock of the machine that ran helm is ahead, the time is in the future.
        let age = deployed.at.map(|at| seen.now.duration_since(at).max(SignedDuration::ZERO));
        let ago = age.map_or("at an unknown time".to_owned(), |age| {
            format!("{:#} ago", SignedDuration::from_secs(age.as_secs()))
        });
        if deployed.status == "deployed" {
            let Deployed { name, chart, revision, .. } = deployed;
            return Verdict::pass(format!("{name} is deployed: {chart}, revision {revision}, {ago}"));
        }
        let [history, rollback] = ["history", "rollback"].map(helm);
        let hint = if deployed.is_unfinished() {
            format!(
                "wait if another helm command runs; else it was interrupted, and Helm refuses to upgrade: pick a revision from \
                 `{history}`, roll back to it with `{rollback} REVISION`, and run helm upgrade again; without an earlier \
                 revision, uninstall the release"
            )
        } else {
            format!(
                "fix the error that Helm reports, and run helm upgrade again, or pick a revision from `{history}` and \
                 roll back to it: `{rollback} REVISION`"
            )
        };
        let colon = if deployed.description.is_empty() { "" } else { ": " };
        let mut what = format!("{}, {ago}{colon}{}", deployed.status, deployed.description);
        what.extend(deployed.judged_by.iter().map(|by| format!("; {by}")));
        let expected = format!("revision {} to be deployed", deployed.revision);
        Verdict::fail(Reason::new(object, expected, what).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged;
    use crate::cluster::example::NOW;
    use crate::event::Outcome;

    #[test]
    fn only_a_deployed_release_passes_and_its_age_is_shown() {
        let ahead = json!("2026-11-21T04:05:00Z");
        for (status, at, outcome, words) in [
            ("deployed", json!("2026-11-21T03:15:30.5Z"), Outcome::Pass, "revision 3, 44m 29s ago"),
            ("deployed", ahead, Outcome::Pass, "revision 3, 0s ago"),
            ("deployed", Value::Null, Outcome::Pass, "revision 3, at an unknown time"),
            ("uninstalled", json!(NOW), Outcome::Fail, "uninstalled, 0s ago: by hand; tests judge by it"),
            ("", json!(NOW), Outcome::Fail, ", 0s ago: by hand; tests judge by it"),
            ("uninstalling", json!(NOW), Outcome::Fail, "uninstalling, 0s ago: by hand; tests judge by it"),
            ("pending-upgrade", json!(NOW), Outcome::Fail, "pending-upgrade, 0s ago: by hand; tests judge by it"),
        ] {
            let deployed = json!({"name": "file-sim", "revision": 3, "status": status, "chart": "chart-0.1.0", "at": at,
                "description": "by hand", "judged_by": "tests judge by it"});
            let seen = json!({"name": "file-sim", "context": "c", "namespace": "n", "now": NOW, "deployed": deployed});
            let verdict = judged::<Release>(json!({}), seen);
            let text = verdict.reasons.first().map_or(&verdict.summary, |reason| &reason.seen);
            assert!(verdict.outcome == outcome && text.ends_with(words), "{status}: {verdict:?}");
            let hint = verdict.reasons.first().map_or("", |reason| &reason.hint);
            assert_eq!(hint.contains("interrupted"), ["pending-upgrade", "uninstalling"].contains(&status), "{hint}");
        }
    }
}
