//! The trait of a kind of check, its description, and its type-erased form.

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
    /// Its observations, which recordings store so that they can be judged again.
    type Observation: Serialize + DeserializeOwned + Send;

    const SUBJECT: Subject = Subject::Server;

    const HOPS: &'static [Hop] = &[];

    /// What it needs with any parameters.
    const NEEDS: &'static [Need] = &[];

    /// What it also needs with some parameters.
    const MAY_NEED: &'static [Need] = &[];

    /// The parts that the system must describe for it.
    const PARTS: &'static [Part] = &[];

    /// Whether it deletes pods. Such a test runs alone, after all others, and only with `--allow-disruption`.
    const DISRUPTS: bool = false;

    fn needs(&self) -> &'static [Need] {
        Self::NEEDS
    }

    /// How many sync cycles it usually waits for, including the current one; `None` if it writes no files into an
    /// export.
    fn sync_cycles(&self) -> Option<u8> {
        None
    }

    fn observe(&self, site: &Site) -> impl Future<Output = Result<Self::Observation, Verdict>> + Send;

    fn judge(&self, system: &System, seen: &Self::Observation) -> Verdict;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One server: each server that the suite names gets its own test.
    Server,
    /// The whole system: one test per suite.
    System,
    /// Either, as the test chooses.
    ServerOrSystem,
}

#[derive(Debug)]
pub struct KindInfo {
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

impl KindInfo {
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

/// A type-erased [`Kind`]. Its future is boxed; otherwise that of a run would contain those of all kinds.
pub trait AnyKind {
    fn needs(&self) -> &'static [Need];
    fn sync_cycles(&self) -> Option<u8>;
    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, (Verdict, Option<Value>)>;
    /// Judges an observation from a recording; an error if it does not belong to this kind of check.
    fn judge(&self, system: &System, seen: Value) -> Result<Verdict, serde_json::Error>;
}

impl<K: Kind> AnyKind for K {
    fn needs(&self) -> &'static [Need] {
        Kind::needs(self)
    }

    fn sync_cycles(&self) -> Option<u8> {
        Kind::sync_cycles(self)
    }

    fn run<'a>(&'a self, site: &'a Site) -> BoxFuture<'a, (Verdict, Option<Value>)> {
        Box::pin(async move {
            match self.observe(site).await {
                Ok(seen) => {
                    let is_recorded = site.shared.settings.record;
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

    /// The verdict of a check with these parameters on an observation of the file simulator.
    pub fn judged<K: Kind + DeserializeOwned>(check: Value, seen: Value) -> Verdict {
        let check: K = serde_json::from_value(check).unwrap();
        Kind::judge(&check, &system(), &serde_json::from_value(seen).unwrap())
    }
}
