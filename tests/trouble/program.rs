//! The program at work, and what is known of it afterwards.

use std::time::Duration;

use crate::support::junit::{self, Results};
use crate::support::place::{Place, Running};

/// No run takes longer than this, whatever happens to it.
const LIMIT: Duration = Duration::from_secs(240);

/// The program at work.
pub struct Program<'a> {
    place: &'a Place,
    suite: &'a str,
    pub running: Running,
    listed: Vec<String>,
}

/// What it did.
pub struct Ended {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    pub results: Results,
    /// The tests that it should have reported.
    listed: Vec<String>,
    pub took: Duration,
}

impl<'a> Program<'a> {
    /// Starts it, and returns when its first report is there: before that there is nothing to interrupt.
    pub fn start(place: &'a Place, suite: &'a str, arguments: &[&str]) -> Self {
        let arguments = [&["--suite", suite, "--allow-disruption"], arguments].concat();
        let listed = place.listed(&arguments);
        let mut running = place.start(place.command(&arguments));
        running.wait_for("its first report", || place.junit(suite).exists());
        Self { place, suite, running, listed }
    }

    /// Waits for its end.
    pub fn end(self) -> Ended {
        let ended = self.running.end(LIMIT);
        let results = self.place.results(&[self.suite]);
        Ended { code: ended.code, out: ended.all(), results, listed: self.listed, took: ended.took }
    }
}

impl Ended {
    /// How many tests ended in that way.
    pub fn count(&self, outcome: &str) -> usize {
        junit::with(&self.results, outcome).len()
    }

    /// The run's name; if it did not get so far as to say it, what all names begin with.
    pub fn run(&self) -> &str {
        self.out.lines().find_map(|line| line.strip_prefix("run:")).map_or("e2e-", str::trim)
    }

    /// Files that were left and that it does not name.
    pub fn untold(&self, left: &[String]) -> Vec<String> {
        // rsync's temporary `.NAME.XXXXXX` is told with the file.
        let of_rsync = |part: &str| Some(part.strip_prefix('.')?.rsplit_once('.')?.0.to_owned());
        let own = |part: &str| of_rsync(part).unwrap_or_else(|| part.to_owned());
        let name = |path: &String| path.split([' ', '/']).map(own).find(|part| part.starts_with("e2e-"));
        let untold = left.iter().filter(|path| name(path).is_none_or(|name| !self.out.contains(&name)));
        untold.cloned().collect()
    }

    /// Tests that are not reported.
    pub fn missing(&self) -> Vec<String> {
        let missing = self.listed.iter().filter(|name| !self.results.contains_key(*name));
        missing.map(|name| format!("{name}: missing")).collect()
    }
}
