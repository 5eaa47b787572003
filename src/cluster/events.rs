//! Warning events about an object: why a pod is not scheduled, does not start, or was evicted.

use std::fmt;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;

use super::api_error::ApiError;
use super::client::Cluster;
use super::object::requests;

/// How many events of one object to request; Kubernetes merges repeated ones.
const REQUESTED: u32 = 200;
const SHOWN: usize = 4;
/// The maximum length of a message, in characters.
const MAX_MESSAGE: usize = 300;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub last: Option<Timestamp>,
    pub reason: String,
    pub message: String,
    pub count: i32,
}

impl From<Event> for Warning {
    fn from(event: Event) -> Self {
        // Newer event sources count in a series and leave the older fields empty.
        let series = event.series.unwrap_or_default();
        let last = series.last_observed_time.map(|time| time.0);
        let last = last.or(event.last_timestamp.map(|time| time.0)).or(event.event_time.map(|time| time.0));
        let count = series.count.or(event.count).unwrap_or(1);
        let message = event.message.unwrap_or_default().trim().chars().take(MAX_MESSAGE).collect();
        let last = last.or(event.metadata.creation_timestamp.map(|time| time.0));
        Self { last, reason: event.reason.unwrap_or_default(), message, count }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(last) = self.last {
            write!(f, "{last:.0} ")?;
        }
        write!(f, "{}: {}", self.reason, self.message)?;
        if self.count > 1 { write!(f, " ({} times)", self.count) } else { Ok(()) }
    }
}

impl Cluster {
    /// The newest warnings about the object with this uid, newest last. An empty list does not prove health: Kubernetes
    /// deletes events after an hour.
    pub async fn events(&self, uid: &str) -> Result<Vec<Warning>, ApiError> {
        self.events_of(uid, "Warning", Some(REQUESTED)).await.map(newest)
    }

    pub(super) async fn events_of(&self, uid: &str, kind: &str, limit: Option<u32>) -> Result<Vec<Event>, ApiError> {
        let fields = format!("involvedObject.uid={uid},type={kind}");
        let params = ListParams { limit, ..ListParams::default().fields(&fields) };
        self.list("events", &requests::<Event>(Some(self.namespace())), &params).await
    }
}

fn newest(events: Vec<Event>) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = events.into_iter().map(Warning::from).collect();
    warnings.sort_by_key(|warning| warning.last);
    warnings.split_off(warnings.len().saturating_sub(SHOWN))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_newest_warnings_are_shown_whichever_field_has_their_time() {
        let event = |others: Value| {
            let mut event = json!({"involvedObject": {}, "metadata": {}, "reason": "BackOff", "message": "again\n"});
            event.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
            serde_json::from_value::<Event>(event).unwrap()
        };
        let mut events = vec![
            event(json!({"eventTime": "2026-11-21T03:30:00.000000Z", "reason": "Evicted"})),
            event(json!({"series": {"count": 7, "lastObservedTime": "2026-11-21T03:40:00.000000Z"}})),
            event(json!({})),
        ];
        let older = |minute: u32| event(json!({"lastTimestamp": format!("2026-11-21T03:{minute:02}:00Z"), "count": 3}));
        events.extend((0..6).map(older));
        let shown: Vec<String> = newest(events).iter().map(ToString::to_string).collect();
        assert_eq!(
            shown[1..3],
            ["2026-11-21T03:05:00Z BackOff: again (3 times)", "2026-11-21T03:30:00Z Evicted: again"]
        );
        assert_eq!((shown.len(), &*shown[3]), (SHOWN, "2026-11-21T03:40:00Z BackOff: again (7 times)"));
    }
}
