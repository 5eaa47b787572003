//! What a kind of check is: with its parameters' type, and without.

use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::need::Need;
use super::site::Site;
use super::system::{Part, System};
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

    /// The parts that the system must have for it.
    const PARTS: &'static [Part] = &[];
    /// Whether it deletes pods: then it runs alone, when all others have ended, and only if
    /// that was allowed.
    const DISRUPTS: bool = false;

    fn needs(&self) -> &'static [Need] {
        Self::NEEDS
    }

    /// For how many of the sidecar's cycles it usually waits, of which the first has already begun; `None` if it puts no files
    /// into an export.
    fn writes(&self) -> Option<u8> {
        None
    }

    /// Collects what the judgement needs.
    ///
    /// # Errors
    /// A verdict, for what could not be observed.
    fn observe(&self, site: &Site) -> impl Future<Output = Result<Self::Observation, Verdict>> + Send;

    fn judge(&self, system: &System, seen: &Self::Observation) -> Verdict;
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
    pub parts: &'static [Part],
    pub disrupts: bool,
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
            parts: P::PARTS,
            disrupts: P::DISRUPTS,
            parameters: P::json_schema,
        }
    }
}

/// A [`Kind`] whose type is not known any more: what a run asks of a check. Its future is boxed, or a run would be one
/// coroutine of all kinds.
pub trait AnyKind {
    fn needs(&self) -> &'static [Need];
    fn writes(&self) -> Option<u8>;
    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, (Verdict, Option<Value>)>;
    /// Judges what was observed in another run; an error if it is no observation of this kind of check.
    fn judge(&self, system: &System, seen: Value) -> Result<Verdict, serde_json::Error>;
}

impl<K: Kind> AnyKind for K {
    fn needs(&self) -> &'static [Need] {
        Kind::needs(self)
    }

    fn writes(&self) -> Option<u8> {
        Kind::writes(self)
    }

    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, (Verdict, Option<Value>)> {
        Box::pin(async move {
            match self.observe(site).await {
                Ok(seen) => {
                    let is_recorded = site.shared.wishes.record;
                    (
                        Kind::judge(self, &site.system, &seen),
                        is_recorded.then(|| serde_json::to_value(&seen).ok()).flatten(),
                    )
                }
                Err(verdict) => (verdict, None),
            }
        })
    }

    fn judge(&self, system: &System, seen: Value) -> Result<Verdict, serde_json::Error> {
        Ok(Kind::judge(self, system, &serde_json::from_value(seen)?))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::check::system::tests::system;

    /// What a check with these parameters says of an observation of the file simulator.
    pub fn judged<K: Kind + DeserializeOwned>(check: Value, seen: Value) -> Verdict {
        let check: K = serde_json::from_value(check).unwrap();
        Kind::judge(&check, &system(), &serde_json::from_value(seen).unwrap())
    }
}
