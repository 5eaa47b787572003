//! What a difference from the manifest means, in words: a reason, or a note where nobody's hand was in it. Pure.

use super::compare::{Difference, How};
use super::path::is_within;
use super::{Compared, Observation, Setter};
use crate::event::Reason;

/// The most fields of a manager that are named.
const FIELDS: usize = 3;

impl Observation {
    /// The command that brings back what the manifest says.
    pub(super) fn upgrade(&self) -> String {
        format!(
            "helm --kube-context={} -n {} upgrade {} CHART --reuse-values",
            self.context, self.namespace, self.release
        )
    }

    /// What else may have changed an object: an upgrade that failed.
    fn failed(&self) -> String {
        if self.newest.0 == self.revision {
            return String::new();
        }
        format!(
            "; revision {} is `{}` and may have changed it: see the test of the release",
            self.newest.0, self.newest.1
        )
    }

    /// How kubectl is told where an object is.
    fn kubectl(&self, object: &Compared) -> String {
        let namespace = object.namespace.as_ref().unwrap_or(&self.namespace);
        format!("kubectl --context={} -n {namespace}", self.context)
    }

    /// What somebody has set of which the manifest says nothing: a reason, or a note where it is a label or an annotation, as
    /// `kubectl rollout restart` leaves one.
    pub(super) fn set(
        &self,
        object: &Compared,
        setter: &Setter,
        fields: &[String],
        reasons: &mut Vec<Reason>,
        notes: &mut Vec<String>,
    ) {
        let named = format!("{} {}", object.kind, object.name);
        let (marks, fields): (Vec<_>, Vec<_>) = fields.iter().map(String::as_str).partition(|field| is_mark(field));
        if !marks.is_empty() {
            notes.push(format!(
                "{named}: {}, of which the manifest says nothing, set by {}: helm upgrade leaves that",
                few(&marks),
                setter.who
            ));
        }
        if !fields.is_empty() {
            let expected = format!("no {}: the manifest of revision {} does not have it", few(&fields), self.revision);
            let edit = format!("{} edit {} {}", self.kubectl(object), object.kind.to_lowercase(), object.name);
            let hint = format!("helm upgrade leaves it; remove it: `{edit}`{}", self.failed());
            reasons.push(Reason::new(named, expected, format!("set by {}", setter.who)).hint(hint));
        }
    }

    /// Says what a difference means: a reason, or a note where it is no one's hand.
    pub(super) fn tell(
        &self,
        object: &Compared,
        difference: &Difference,
        by: Option<&Setter>,
        reasons: &mut Vec<Reason>,
        notes: &mut Vec<String>,
    ) {
        let Difference { at, how, values, removal, .. } = difference;
        let named = format!("{} {}", object.kind, object.name);
        let source = format!("as in the manifest of revision {}", self.revision);
        let who = by.map_or(String::new(), |by| format!(", set by {}", by.who));
        let (said, live) = match values {
            Some([said, live]) => (format!("`{said}`"), format!("`{live}`")),
            None => ("a value that may be secret".to_owned(), "another".to_owned()),
        };
        if by.is_some_and(|by| by.is_controller && !by.is_helm) {
            // Such as an autoscaler or a webhook.
            notes.push(format!("{named}: {at} is {live}{who}; the manifest says {said}"));
            return;
        }
        let failed = self.failed();
        let (expected, what, hint) = match how {
            How::Differs => (
                format!("{at} to be {said}, {source}"),
                format!("{live}{who}"),
                format!("`{}` puts it back", self.upgrade()),
            ),
            How::Missing => {
                let hint = format!(
                    "`{}` puts it back; if it does not, this version of Kubernetes does not know the field",
                    self.upgrade()
                );
                (format!("{at} to be {said}, {source}"), "it is not there".to_owned(), hint)
            }
            How::Order => {
                (format!("{at} in the order {said}, {source}"), live, format!("`{}` puts it back", self.upgrade()))
            }
            How::Added => {
                let patch = removal.as_ref().map_or(String::new(), |patch| {
                    format!(" patch {} {} --type=json -p='{patch}'", object.kind.to_lowercase(), object.name)
                });
                let hint = format!("helm upgrade leaves it; remove it: `{}{patch}`", self.kubectl(object));
                (
                    format!("no {at}: the manifest of revision {} does not have it", self.revision),
                    format!("it was added{who}"),
                    hint,
                )
            }
        };
        reasons.push(Reason::new(named, expected, what).hint(format!("{hint}{failed}")));
    }
}

/// Whether a field is a label or an annotation, of the object or of its pods: nothing runs otherwise because of it.
fn is_mark(field: &str) -> bool {
    let metadata = field.strip_prefix(".spec.template").unwrap_or(field);
    [".metadata.labels", ".metadata.annotations"].iter().any(|marks| is_within(metadata, marks))
}

/// The first fields of some, and how many more there are.
fn few(fields: &[&str]) -> String {
    let more =
        if fields.len() > FIELDS { format!(" and {} more fields", fields.len() - FIELDS) } else { String::new() };
    fields[..fields.len().min(FIELDS)].join(", ") + &more
}
