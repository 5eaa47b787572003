//! Servers by hop, with one mark each: where a file's way is broken, at a glance.

use std::collections::BTreeMap;

use crate::event::{Case, CaseId, Hop, Outcome, Verdict};

/// The marks, gathered while results come in.
#[derive(Debug, Default, Clone)]
pub struct Grid {
    servers: Vec<String>,
    hops: BTreeMap<CaseId, &'static [Hop]>,
    marks: BTreeMap<(String, Hop), Outcome>,
}

impl Grid {
    /// A grid for the servers of these tests.
    pub fn new(cases: &[Case]) -> Self {
        let mut grid = Self::default();
        for case in cases {
            if let Some(server) = &case.id.server {
                if !grid.servers.contains(server) {
                    grid.servers.push(server.clone());
                }
                grid.hops.insert(case.id.clone(), case.hops);
            }
        }
        grid
    }

    /// Takes in a result. A FAIL marks the hop that is broken, any other result all hops that a PASS would prove.
    pub fn take(&mut self, id: &CaseId, verdict: &Verdict) {
        let (Some(server), Some(all)) = (&id.server, self.hops.get(id)) else { return };
        let broken = verdict.hop.filter(|_| verdict.outcome == Outcome::Fail);
        for hop in Hop::ALL.into_iter().filter(|hop| broken.map_or_else(|| all.contains(hop), |broken| broken == *hop))
        {
            let mark = self.marks.entry((server.clone(), hop)).or_insert(verdict.outcome);
            if weight(verdict.outcome) > weight(*mark) {
                *mark = verdict.outcome;
            }
        }
    }

    /// The same with one server alone.
    #[must_use]
    pub fn of(&self, server: &str) -> Self {
        Self { servers: vec![server.to_owned()], ..self.clone() }
    }

    /// Each server with its marks, in the order of [`Hop::ALL`].
    pub fn rows(&self) -> impl Iterator<Item = (&String, [&'static str; 6])> {
        let mark_of = |server: &String, hop| mark(self.marks.get(&(server.clone(), hop)).copied());
        self.servers.iter().map(move |server| (server, Hop::ALL.map(|hop| mark_of(server, hop))))
    }

    /// The grid in lines; empty if no test was about a server.
    pub fn lines(&self) -> Vec<String> {
        let Some(width) = self.servers.iter().map(String::len).max() else { return Vec::new() };
        let row = |head: &str, cells: [String; 6]| {
            let cells = cells.map(|cell| format!("  {cell:<7}")).concat();
            format!("{head:width$}{cells}").trim_end().to_owned()
        };
        let mut lines = vec![row("", Hop::ALL.map(|hop| hop.to_string()))];
        lines.extend(self.rows().map(|(server, marks)| row(server, marks.map(str::to_owned))));
        lines
    }
}

/// The mark for an outcome; a dot where nothing was judged.
fn mark(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Pass) => "ok",
        Some(Outcome::Fail) => "FAIL",
        Some(Outcome::Error) => "?",
        Some(Outcome::Skip) => "skip",
        None => ".",
    }
}

fn weight(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Skip => 0,
        Outcome::Pass => 1,
        Outcome::Error => 2,
        Outcome::Fail => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reason;

    #[test]
    fn a_failure_marks_the_broken_hop_and_leaves_the_others() {
        let id = |slug: &str| CaseId { suite: "s".into(), slug: slug.into(), server: Some("nas-1".into()) };
        let cases = [
            ("mount", &[Hop::Host, Hop::Mount][..]),
            ("sync", &[Hop::Export, Hop::Sidecar][..]),
            ("pods", &[Hop::Nfs][..]),
        ];
        let mut grid = Grid::new(&cases.map(|(slug, hops)| Case { id: id(slug), hops }));
        grid.take(&id("mount"), &Verdict::judged("", Vec::new()));
        grid.take(&id("sync"), &Verdict::judged("", vec![Reason::new("o", "e", "s")]).at(Hop::Sidecar));
        grid.take(&id("pods"), &Verdict::error(Reason::new("o", "e", "s")));
        assert_eq!(
            grid.lines(),
            [
                "       host     mount    init     export   sidecar  NFS",
                "nas-1  ok       ok       .        .        FAIL     ?"
            ]
        );
    }
}
