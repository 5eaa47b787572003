//! `init-container`: the init container completed, and its log ends without an error.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::init;
use crate::check::site::newest_of_several;
use crate::check::{Kind, Need, Part, Site, System};
use crate::cluster::container;
use crate::cluster::{ApiError, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

/// Enough lines from the end of the log: the script prints only a few after an error of rsync.
const TAIL_LINES: i64 = 50;
const TAIL_BYTES: i64 = 1 << 20;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InitContainer {}

#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    /// The end of the container's log; `None` if it has not completed.
    log: Option<Vec<String>>,
}

impl Kind for InitContainer {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init];
    const NEEDS: &'static [Need] = &[Need::Logs];
    const PARTS: &'static [Part] = &[Part::Init];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        // In a stalled rollout the old pod still serves, and the new pod's init container may be the cause.
        let pod = match newest_of_several(&site.settled_server().await?.0) {
            Some(newest) => newest,
            None => site.pod().await?.0,
        };
        let name = &site.system.init_container;
        if !container::named(&pod, name).is_some_and(|view| view.has_completed()) {
            return Ok(Observation { pod, log: None });
        }
        let lines = match site.shared.cluster.log_tail(&pod.name_any(), name, TAIL_LINES, TAIL_BYTES).await {
            Ok(lines) => lines.into_iter().map(|(_, line)| line).collect(),
            Err(error) if is_gone(&error) => Vec::new(),
            Err(error) => return Err(site.request_failed(&error)),
        };
        Ok(Observation { log: Some(lines), pod })
    }

    fn judge(&self, system: &System, seen: &Observation) -> Verdict {
        let name = &system.init_container;
        let object = container::label(&seen.pod, name);
        let fail = |reason: Reason, hint: &str| Verdict::fail(reason.hint(hint)).at(Hop::Init);
        let view = match init(&seen.pod, name) {
            Ok(view) => view,
            Err(missing) => return fail(missing, "run helm upgrade; without this container the export stays empty"),
        };
        let Some(log) = seen.log.as_ref().filter(|_| view.has_completed()) else {
            let hint = format!("read its log: kubectl logs {} -c {name}", seen.pod.name_any());
            return fail(Reason::new(object, "completed with exit code 0", view.describe()), &hint);
        };
        if let Some(line) = log.iter().rfind(|line| system.is_error_line(line)) {
            let hint = "read the log lines before it, then restart the pod; the export may lack files although the \
                        exit code is 0";
            return fail(Reason::new(object, "a log that ends without an error", line), hint);
        }
        let summary = format!("{name} {}", view.describe());
        if log.is_empty() {
            let note = format!("{object}: the log is empty or was deleted; only the exit code was checked");
            return Verdict::pass(summary).notes(vec![note]);
        }
        Verdict::pass(format!("{summary}, and its log ends without an error"))
    }
}

/// Whether a log no longer exists, for example because the kubelet deleted it.
fn is_gone(error: &ApiError) -> bool {
    match error {
        ApiError::NotFound { .. } => true,
        ApiError::Failed { message, .. } => message.contains("unable to retrieve container logs"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::kind::tests::judged as judged_by;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    fn judged(changes: &[(&str, Value)], log: &Value) -> Verdict {
        judged_by::<InitContainer>(json!({}), json!({"pod": with(output_pod(), changes), "log": log}))
    }

    #[test]
    fn an_error_in_the_log_fails_despite_exit_code_0_and_so_does_a_missing_container() {
        let names = ["sending incremental file list", "rsync error.txt", "failed (code 23).log", "=== Complete ==="];
        assert_eq!(judged(&[], &json!(names)).outcome, Outcome::Pass, "file names that look like errors");
        let error = "rsync error: some files/attrs were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
        let verdict = judged(&[], &json!([error, "=== Complete ==="]));
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Init)));
        assert_eq!(verdict.reasons[0].seen, error);
        let other = [("/spec/initContainers/0/name", json!("other"))];
        assert_eq!(judged(&other, &json!(["done"])).outcome, Outcome::Fail, "the container is missing");
    }

    #[test]
    fn a_deleted_log_is_a_note_and_other_failures_to_read_a_log_are_not_taken_for_that() {
        let verdict = judged(&[], &json!([]));
        assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1));
        let failed = |message: &str| {
            is_gone(&ApiError::Failed { verb: "get", resource: "pods/log", message: message.to_owned() })
        };
        assert!(is_gone(&ApiError::NotFound { message: "pod".to_owned() }));
        assert!(failed("unable to retrieve container logs for containerd://1") && !failed("connection refused"));
    }
}
