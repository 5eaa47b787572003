//! What a kind of check is: with its parameters' type, and without.

use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::need::Need;
use super::parameter::{Export, Sidecar};
use super::site::Site;
use crate::event::{Hop, Verdict};

pub trait Kind: Sync {
    /// What it observes; can be stored and judged again elsewhere.
    type Observation: Serialize + DeserializeOwned + Send;

    const SUBJECT: Subject = Subject::Server;

    const HOPS: &'static [Hop] = &[];

    /// What a run must have at hand for it, whatever its parameters say.
    const NEEDS: &'static [Need] = &[];

    /// What else it needs with some parameters.
    const MAY_NEED: &'static [Need] = &[];

    /// Whether it deletes pods: then it runs alone, when all others have ended, and only if
    /// that was allowed.
    const DISTURBS: bool = false;

    fn needs(&self) -> &'static [Need] {
        Self::NEEDS
    }

    fn writes(&self) -> Option<Writes<'_>> {
        None
    }

    /// Collects what the judgement needs.
    ///
    /// # Errors
    /// A verdict, for what could not be observed.
    fn observe(&self, site: &Site) -> impl Future<Output = Result<Self::Observation, Verdict>> + Send;

    fn judge(&self, seen: &Self::Observation) -> Verdict;
}

/// Where a check puts files into an export, and what copies them from there.
pub struct Writes<'a> {
    pub export: &'a Export,
    pub sidecar: Option<&'a Sidecar>,
    /// How many of the sidecar's cycles it usually waits for; the first of them has already begun.
    pub cycles: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One server: it makes a test for each that the suite names.
    Server,
    Whole,
    Any,
}

/// What is known of a kind of check without a suite.
#[derive(Debug)]
pub struct About {
    pub key: &'static str,
    pub summary: &'static str,
    pub subject: Subject,
    pub hops: &'static [Hop],
    pub needs: &'static [Need],
    pub may_need: &'static [Need],
    pub disturbs: bool,
    pub parameters: fn(&mut SchemaGenerator) -> Schema,
}

impl About {
    pub(super) const fn of<P: Kind + JsonSchema>(key: &'static str, summary: &'static str) -> Self {
        Self {
            key,
            summary: summary.trim_ascii(),
            subject: P::SUBJECT,
            hops: P::HOPS,
            needs: P::NEEDS,
            may_need: P::MAY_NEED,
            disturbs: P::DISTURBS,
            parameters: P::json_schema,
        }
    }
}

/// A [`Kind`] whose type is not known any more: what a run asks of a check. Its future is boxed, or a run would be one
/// coroutine of all kinds.
pub trait AnyKind {
    fn needs(&self) -> &'static [Need];
    fn writes(&self) -> Option<Writes<'_>>;
    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, (Verdict, Option<Value>)>;
    /// Judges what was observed in another run; an error if it is no observation of this kind of check.
    fn judge(&self, seen: Value) -> Result<Verdict, serde_json::Error>;
}

impl<K: Kind> AnyKind for K {
    fn needs(&self) -> &'static [Need] {
        Kind::needs(self)
    }

    fn writes(&self) -> Option<Writes<'_>> {
        Kind::writes(self)
    }

    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, (Verdict, Option<Value>)> {
        Box::pin(async move {
            match self.observe(site).await {
                Ok(seen) => {
                    let is_recorded = site.shared.wishes.record;
                    (Kind::judge(self, &seen), is_recorded.then(|| serde_json::to_value(&seen).ok()).flatten())
                }
                Err(verdict) => (verdict, None),
            }
        })
    }

    fn judge(&self, seen: Value) -> Result<Verdict, serde_json::Error> {
        Ok(Kind::judge(self, &serde_json::from_value(seen)?))
    }
}
