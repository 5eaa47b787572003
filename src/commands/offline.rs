//! What needs no cluster: judging again, listing, linting, explaining.

use super::reporting::{Reporting, look, reporters};
use super::{print, refuse};
use crate::cli::Replay;
use crate::error::Exit;
use crate::output::tell;
use crate::recording::Recording;
use crate::report::sanitize;
use crate::sim::scenario::{self, Scenario};
use crate::suite::{self, PlannedCase};

/// Judges a recorded run again and reports.
pub(super) fn replay(asked: &Replay) -> Exit {
    let recording = match Recording::read(&asked.file) {
        Ok(recording) => recording,
        Err(refusal) => return refuse(&refusal),
    };
    let reporting = Reporting::start(reporters(look(asked.quiet, asked.verbose, false, &asked.report_dir)));
    match crate::replay::replay(&recording, &reporting.events) {
        Ok(outcomes) => reporting.end(Exit::of(&recording.ending, &outcomes)),
        Err(refusal) => refuse(&refusal),
    }
}

/// As libtest lists tests, for scripts; or for people, with what each is, needs and disturbs.
pub(super) fn list(cases: &[PlannedCase], is_verbose: bool) -> Exit {
    if !is_verbose {
        return print(cases.iter().map(|case| format!("{}: test", case.id)));
    }
    let width = cases.iter().map(|case| case.id.to_string().len()).max().unwrap_or_default();
    print(cases.iter().map(|case| format!("{:width$}  {}", case.id.to_string(), suite::explain::line(&case.check))))
}

/// Says what is wrong with suite files.
pub(super) fn lint(files: &[String]) -> Exit {
    let linted: Vec<_> = files.iter().map(|file| suite::lint::lint(file)).collect();
    for linted in &linted {
        linted.warnings.iter().for_each(|warning| tell(format!("warning: {}", sanitize::text(warning))));
        linted.problems.iter().for_each(|problem| tell(sanitize::text(&problem.to_string())));
    }
    print(linted.iter().filter_map(|linted| linted.good.clone()));
    if linted.iter().all(|linted| linted.good.is_some()) { Exit::Passed } else { Exit::Usage }
}

/// Says what a kind of check is and takes, or which kinds there are.
pub(super) fn explain(check: Option<&str>) -> Exit {
    match check {
        Some(check) => print(suite::explain::explain(check).into_iter()),
        None => print(suite::explain::list().into_iter()),
    }
}

/// Lists the scenarios of simulated clusters.
pub(super) fn scenarios() -> Exit {
    scenario::all().map_or_else(|refusal| refuse(&refusal), |all| print(all.iter().map(Scenario::to_string)))
}
