//! `init-container`: it has completed, and its log ends without an error. How the tester's folder and the export differ
//! by now is worth a note and no more: clients and testers may rightly have changed either since.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::OptionFuture;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use crate::check::parameter::{Export, Pattern};
use crate::check::{Kind, Need, Site};
use crate::cluster::container;
use crate::cluster::{ApiError, Operation, ResourceExt};
use crate::event::{Hop, Reason, Verdict};

/// How many lines of the log's end are read: an error of rsync is followed by the script's own few lines at the most.
const TAIL: i64 = 50;
/// How much of them.
const BYTES: i64 = 1 << 20;
/// Folders with more than this in them are not compared.
const MOST: usize = 10_000;
/// Nor is an export whose list of files is longer than this, in bytes.
const LIST: usize = 512 << 10;
/// How many names a note has.
const NAMES: usize = 3;

/// Parameters.
#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InitContainer {
    /// Its name.
    pub container: String,
    /// A line of its log that tells of an error.
    pub error: Pattern,
    /// The export that it fills, to compare with the tester's folder.
    pub compare: Option<Export>,
}

/// What was seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Observation {
    pod: Arc<Pod>,
    /// The end of its log; `None` if it has not completed.
    log: Option<Vec<String>>,
    /// How the tester's folder and the export differ, or why that is not known; `None` if nobody wants to know.
    difference: Option<Result<Difference, String>>,
}

/// What is only on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The tester's folder on this machine.
    folder: String,
    only_folder: Names,
    only_export: Names,
}

/// How many files, and the first of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    count: usize,
    first: Vec<String>,
}

impl Kind for InitContainer {
    type Observation = Observation;
    const HOPS: &'static [Hop] = &[Hop::Init];
    const NEEDS: &'static [Need] = &[Need::Logs];

    async fn observe(&self, site: &Site) -> Result<Observation, Verdict> {
        let (server, _) = site.settled_server().await?;
        let current = server.current();
        let newest: Vec<_> = current.iter().filter(|pod| server.is_newest(pod)).collect();
        let pod = match newest.as_slice() {
            // A rollout that does not get on: the old pod still serves, and the new one's init container may be why.
            [newest] if current.len() > 1 && server.obstacle().is_none() => Arc::clone(newest),
            _ => site.pod().await?.0,
        };
        if !container::named(&pod, &self.container).is_some_and(|view| view.has_completed()) {
            return Ok(Observation { pod, log: None, difference: None });
        }
        let name = pod.name_any();
        let (lines, difference) = tokio::join!(
            site.shared.cluster.log_tail(&name, &self.container, TAIL, BYTES),
            OptionFuture::from(self.compare.as_ref().map(|export| difference(site, &pod, export))),
        );
        let lines = match lines {
            Ok(lines) => lines.into_iter().map(|(_, line)| line).collect(),
            Err(error) if is_gone(&error) => Vec::new(),
            Err(error) => return Err(site.no_answer(&error)),
        };
        Ok(Observation { log: Some(lines), difference, pod })
    }

    fn judge(&self, seen: &Observation) -> Verdict {
        let object = container::place(&seen.pod, &self.container);
        let fail = |expected: &str, found: String, hint: &str| {
            Verdict::judged("", vec![Reason::new(&object, expected, found).hint(hint)]).at(Hop::Init)
        };
        let view = container::named(&seen.pod, &self.container).filter(|view| view.kind == container::Kind::Init);
        let Some(view) = view else {
            let found = format!("no such init container; the pod has {}", container::names(&seen.pod));
            return fail("an init container", found, "without it the export stays empty: run helm upgrade again");
        };
        let Some(log) = seen.log.as_ref().filter(|_| view.has_completed()) else {
            let hint = format!("look at its log: kubectl logs {} -c {}", seen.pod.name_any(), self.container);
            return fail("completed with exit code 0", view.describe(), &hint);
        };
        if let Some(line) = log.iter().rfind(|line| self.error.0.is_match(line)) {
            let hint = "the export may lack files although the exit code is 0: look at the lines before it, then restart \
                        the pod";
            return fail("a log that ends without an error", line.clone(), hint);
        }
        let mut notes = Vec::new();
        if log.is_empty() {
            notes.push(format!("{object}: its log is not there, or not any more; only its exit code was judged"));
        }
        match &seen.difference {
            Some(Ok(difference)) => notes.extend(difference.notes()),
            Some(Err(why)) => notes.push(format!("the tester's folder and the export were not compared: {why}")),
            None => {}
        }
        let log = if log.is_empty() { "" } else { ", and its log ends without an error" };
        Verdict::judged(format!("{} {}{log}", self.container, view.describe()), Vec::new()).notes(notes)
    }
}

/// Whether a log is not there any more, as after the kubelet tidied up.
fn is_gone(error: &ApiError) -> bool {
    match error {
        ApiError::NotFound { .. } => true,
        ApiError::Failed { message, .. } => message.contains("unable to retrieve container logs"),
        _ => false,
    }
}

async fn difference(site: &Site, pod: &Pod, export: &Export) -> Result<Difference, String> {
    let folder = site.shared.host.folder(site.server()).display().to_string();
    if !site.shared.host.is_folder(site.server()).await {
        return Err(format!("there is no folder {folder} on this machine"));
    }
    let why = |verdict: Verdict| verdict.reasons.first().map_or(verdict.summary, |reason| reason.seen.clone());
    site.running(pod, &export.container).map_err(why)?;
    let list = Operation::Files { folder: export.folder.clone(), most: LIST };
    let (host, output) =
        tokio::join!(site.shared.host.files(site.server(), MOST), site.exec(pod, &export.container, &list));
    let host = host.map_err(|error| format!("{folder}: {error}"))?;
    let output = output.map_err(why)?;
    if let Some(problem) = output.problem() {
        return Err(format!("{} in container {}: {problem}", export.folder, export.container));
    }
    if output.stdout.len() >= LIST {
        return Err(format!("the list of files in {} is longer than {LIST} bytes", export.folder));
    }
    let paths = output.stdout.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let paths = paths.map(|path| path.trim_start_matches("./").to_owned()).filter(|path| !path.is_empty());
    Ok(Difference::new(folder, host, paths.collect()))
}

impl Difference {
    fn new(folder: String, host: Vec<String>, export: Vec<String>) -> Self {
        let [host, export] = [host, export].map(|paths| {
            let others = paths.into_iter().filter(|path| !is_passing(path));
            others.collect::<BTreeSet<_>>()
        });
        let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| Names {
            count: these.difference(those).count(),
            first: these.difference(those).take(NAMES).cloned().collect(),
        };
        Self { folder, only_folder: only(&host, &export), only_export: only(&export, &host) }
    }

    fn notes(&self) -> Vec<String> {
        let sides = [
            (&self.only_folder, format!("in the folder {} and not in the export", self.folder)),
            (&self.only_export, format!("in the export and not in the folder {}", self.folder)),
        ];
        let notes = sides.into_iter().filter(|(names, _)| names.count > 0).map(|(names, place)| {
            let more = if names.count > names.first.len() { ", …" } else { "" };
            let files = if names.count == 1 { "1 file is".to_owned() } else { format!("{} files are", names.count) };
            format!("{files} {place}: {}{more}", names.first.join(", "))
        });
        notes.collect()
    }
}

/// Whether a file is about to go: one of this program's, whose names begin alike, or what rsync has not finished.
fn is_passing(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let temporary = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
    let is_random = |end: &str| end.len() == 6 && end.chars().all(|letter| letter.is_ascii_alphanumeric());
    path.split('/').any(|part| part.starts_with("e2e-")) || temporary.is_some_and(|(_, end)| is_random(end))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::example::{output_pod, with};
    use crate::event::Outcome;

    const STATE: &str = "/status/initContainerStatuses/0/state";

    fn judged(changes: &[(&str, Value)], log: &Value) -> Verdict {
        let seen = json!({"pod": with(output_pod(), changes), "log": log, "difference": null});
        check().judge(&serde_json::from_value(seen).unwrap())
    }

    fn check() -> InitContainer {
        let error = r"^rsync error: .*\(code \d+\) at \w+\.c\(\d+\)";
        serde_json::from_value(json!({"container": "sync-windows-data", "error": error})).unwrap()
    }

    #[test]
    fn one_that_completed_passes_whatever_its_files_are_called() {
        let log =
            json!(["sending incremental file list", "rsync error.txt", "failed (code 23).log", "=== Complete ==="]);
        let verdict = judged(&[], &log);
        assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 0));
    }

    #[test]
    fn an_error_in_the_log_fails_also_with_exit_code_0() {
        let error = "rsync error: some files/attrs were not transferred (code 23) at main.c(1338) [sender=3.4.1]";
        let verdict = judged(&[], &json!([error, "=== Complete ==="]));
        assert_eq!((verdict.outcome, verdict.hop), (Outcome::Fail, Some(Hop::Init)));
        assert_eq!(verdict.reasons[0].seen, error);
    }

    #[test]
    fn one_that_failed_runs_or_is_not_there_fails() {
        for state in [json!({"terminated": {"exitCode": 1, "reason": "Error"}}), json!({"running": {}}), json!({})] {
            assert_eq!(judged(&[(STATE, state.clone())], &Value::Null).outcome, Outcome::Fail, "{state}");
        }
        assert_eq!(judged(&[("/spec/initContainers/0/name", json!("other"))], &json!([])).outcome, Outcome::Fail);
        let sidecar = ("/spec/initContainers/0/restartPolicy", json!("Always"));
        assert_eq!(judged(&[sidecar], &json!([])).outcome, Outcome::Fail);
    }

    #[test]
    fn a_log_that_is_gone_is_a_note() {
        let verdict = judged(&[], &json!([]));
        assert_eq!((verdict.outcome, verdict.notes.len()), (Outcome::Pass, 1));
    }

    #[test]
    fn only_a_name_as_rsync_makes_it_is_passing_and_all_names_of_three_are_said() {
        assert!(is_passing("sub/.big.bin.Xy12ab") && is_passing("e2e-1-folder/deep.txt"));
        let paths = [".settings.json", ".log.x-1234", "big.bin.Xy12ab"].map(str::to_owned).to_vec();
        let notes = Difference::new("f".into(), paths, Vec::new()).notes();
        assert!(notes.len() == 1 && notes[0].ends_with(".log.x-1234, .settings.json, big.bin.Xy12ab"), "{notes:?}");
    }

    #[test]
    fn a_log_that_the_kubelet_tidied_up_is_gone_and_one_that_may_not_be_read_is_not() {
        let failed =
            |message: &str| ApiError::Failed { verb: "get", resource: "pods/log", message: message.to_owned() };
        assert!(is_gone(&ApiError::NotFound { message: "pod".to_owned() }));
        assert!(is_gone(&failed("unable to retrieve container logs for containerd://1")));
        assert!(!is_gone(&failed("connection refused")));
        let (verb, resource, message) = ("get", "pods/log", String::new());
        assert!(!is_gone(&ApiError::Forbidden { verb, resource, message }));
    }

    #[test]
    fn differences_are_notes_and_passing_files_are_none() {
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let host = paths(&["both", "a", "b", "c", "d", "e2e-1-x.txt", "sub/.big.bin.Xy12ab"]);
        let export = paths(&["both", "sub/new", "sub/e2e-1-folder/deep.txt"]);
        let difference = Difference::new("/folder".into(), host, export);
        let notes = difference.notes();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("4 files are in the folder") && notes[0].ends_with("a, b, c, …"), "{notes:?}");
        assert!(notes[1].starts_with("1 file is in the export") && notes[1].ends_with("sub/new"), "{notes:?}");
        let with = |difference| {
            let pod = serde_json::from_value(output_pod()).unwrap();
            check().judge(&Observation { pod, log: Some(vec![String::new()]), difference: Some(difference) })
        };
        for (outcome, count) in [(with(Ok(difference)), 2), (with(Err("too many".into())), 1)] {
            assert_eq!((outcome.outcome, outcome.notes.len()), (Outcome::Pass, count));
        }
    }
}
