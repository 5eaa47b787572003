//! `release`: the newest revision of the Helm release is deployed.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Need, Site, Subject};
use crate::cluster::Deployed;
use crate::event::{Reason, Verdict};

/// A helm that began less long ago may still be running.
const RUNNING: SignedDuration = SignedDuration::from_mins(10);

/// It has no parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Release {}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    name: String,
    context: String,
    namespace: String,
    /// `None` if Helm does not know it.
    deployed: Option<Deployed>,
    now: Timestamp,
}

impl Kind for Release {
    type Observation = Observation;
    const SUBJECT: Subject = Subject::Whole;
    const NEEDS: &'static [Need] = &[Need::Release];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let cluster = &site.shared.cluster;
        let deployed = site.shared.release.as_ref().map_err(|error| site.no_answer(error))?;
        Ok(Observation {
            name: cluster.release().to_owned(),
            context: cluster.context().to_owned(),
            namespace: cluster.namespace().to_owned(),
            deployed: deployed.clone(),
            now: cluster.now(),
        })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let object = format!("Helm release {}", seen.name);
        let helm =
            |words: &str| format!("helm --kube-context={} -n {} {words} {}", seen.context, seen.namespace, seen.name);
        let Some(deployed) = &seen.deployed else {
            let what = format!("Helm knows no release in namespace {}", seen.namespace);
            let install = helm("upgrade --install");
            let hint = format!(
                "install it: `{install} CHART`; or name another with --release. Only Secrets are looked at: with another \
                 HELM_DRIVER skip this test and `drift`"
            );
            return Verdict::judged("", vec![Reason::new(object, "deployed", what).hint(hint)]);
        };
        // The time of the machine that helm ran on: one that is ahead makes a release of the future.
        let age = deployed.at.map(|at| seen.now.duration_since(at).max(SignedDuration::ZERO));
        let ago = age.map_or("at an unknown time".to_owned(), |age| format!("{} ago", rough(age)));
        if deployed.status == "deployed" {
            let Deployed { name, chart, revision, .. } = deployed;
            return Verdict::judged(format!("{name} is deployed: {chart}, revision {revision}, {ago}"), Vec::new());
        }
        let history = helm("history");
        let again = format!("run helm upgrade again or go back: `{}`", helm("rollback"));
        let is_pending = deployed.status.starts_with("pending-") || deployed.status == "uninstalling";
        let hint = if is_pending && age.is_some_and(|age| age < RUNNING) {
            format!("another helm may still be running: wait for its end. If it was killed: `{history}`, then {again}")
        } else if is_pending {
            format!("a helm was killed before its end: `{history}`, then {again}")
        } else {
            format!("see `{history}`; mend what Helm says, then {again}")
        };
        let said = if deployed.description.is_empty() { "" } else { ": " };
        let said = format!("{}, {ago}{said}{}", deployed.status, deployed.description);
        let said = [said].into_iter().chain(deployed.judged_by.clone()).collect::<Vec<_>>().join("; ");
        let expected = format!("revision {} to be deployed", deployed.revision);
        Verdict::judged("", vec![Reason::new(object, expected, said).hint(hint)])
    }
}

/// A duration in its largest fitting unit.
fn rough(age: SignedDuration) -> String {
    match age.as_hours() {
        0 if age.as_mins() == 0 => format!("{}s", age.as_secs()),
        0..2 => format!("{}m", age.as_mins()),
        hours @ 2..48 => format!("{hours}h"),
        hours => format!("{}d", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::NOW;
    use crate::event::Outcome;

    fn judged(status: &str, at: &Value) -> Verdict {
        let chart = "file-simulator-0.1.0";
        let deployed = json!({"name": "file-sim", "revision": 3, "status": status, "chart": chart, "at": at,
            "description": "Upgrade \"file-sim\" failed: context deadline exceeded"});
        judge(&deployed)
    }

    fn judge(deployed: &Value) -> Verdict {
        let seen = json!({"name": "file-sim", "context": "c", "namespace": "n", "now": NOW, "deployed": deployed});
        Release {}.judge(&serde_json::from_value(seen).unwrap())
    }

    #[test]
    fn a_deployed_release_passes_with_chart_revision_and_age() {
        let verdict = judged("deployed", &json!("2026-11-21T03:15:30.5Z"));
        let summary = "file-sim is deployed: file-simulator-0.1.0, revision 3, 44m ago";
        assert_eq!((verdict.outcome, verdict.summary.as_str()), (Outcome::Pass, summary));
        let ahead = judged("deployed", &json!("2026-11-21T04:05:00Z"));
        assert!(ahead.outcome == Outcome::Pass && ahead.summary.contains("0s ago"), "helm's clock is ahead: {ahead:?}");
        assert_eq!(judged("deployed", &Value::Null).outcome, Outcome::Pass);
    }

    #[test]
    fn any_other_status_fails_with_helms_words() {
        for status in ["failed", "superseded", "uninstalled", "unknown", ""] {
            assert_eq!(judged(status, &json!(NOW)).outcome, Outcome::Fail, "{status}");
        }
        let failed = &judged("failed", &json!(NOW)).reasons[0];
        assert!(failed.seen.contains("context deadline exceeded") && failed.hint.contains("rollback"), "{failed:?}");
    }

    #[test]
    fn a_pending_one_fails_and_says_whether_a_helm_may_be_running() {
        let hint = |at: &str| judged("pending-upgrade", &json!(at)).reasons[0].hint.clone();
        assert!(hint("2026-11-21T03:58:00Z").contains("may still be running"));
        assert!(hint("2026-11-21T03:50:00Z").contains("was killed"), "after just so long");
        assert!(hint("2026-11-21T02:58:00Z").contains("was killed"));
    }

    #[test]
    fn which_revision_tests_judge_by_is_said_where_that_was_in_doubt() {
        let why = "the live objects are revision 3's; tests judge by it";
        let deployed = json!({"name": "file-sim", "revision": 3, "status": "failed", "chart": "", "at": NOW,
            "description": "timed out", "judged_by": why});
        let verdict = judge(&deployed);
        assert_eq!((verdict.outcome, verdict.reasons.len()), (Outcome::Fail, 1));
        assert_eq!(verdict.reasons[0].seen, format!("failed, 0s ago: timed out; {why}"));
    }

    #[test]
    fn one_that_helm_does_not_know_fails() {
        assert_eq!(judge(&Value::Null).outcome, Outcome::Fail);
    }
}
