//! `skip`: documents in every report what a suite does not test, and why.

use serde::Deserialize;

use super::{Kind, Site, Subject, System};
use crate::event::Verdict;

#[derive(Debug, Clone, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Skip {
    /// Why the suite does not test this, or which suite does.
    #[serde(deserialize_with = "crate::check::parameter::non_empty")]
    #[schemars(length(min = 1))]
    pub reason: String,
}

impl Kind for Skip {
    type Observation = ();
    const SUBJECT: Subject = Subject::ServerOrSystem;

    async fn observe(&self, _: &Site) -> Result<(), Verdict> {
        Ok(())
    }

    fn judge(&self, _: &System, (): &()) -> Verdict {
        Verdict::skip(&self.reason)
    }
}
