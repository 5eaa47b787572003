//! A run around which something happens, and what is known of it afterwards.

use crate::support::lab::SHORTER;
use crate::support::place::{Ended, Place, Running};

/// Starts a suite, and returns when its first report is there: before that there is nothing to interrupt.
pub fn start(place: &Place, suite: &str, arguments: &[&str]) -> Running {
    // Some of them wait in vain.
    let file = place.suite(suite, &SHORTER);
    let arguments = [&["--suite", &file, "--allow-disruption"], arguments].concat();
    let listed = place.listed(&arguments);
    let mut running = place.start(place.command(&arguments));
    running.listed = listed;
    running.wait_for("its first report", || place.junit(suite).exists());
    running
}

impl Ended {
    /// How many tests ended in that way.
    pub fn count(&self, outcome: &str) -> usize {
        self.with(outcome).len()
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
        let untold = left.iter().filter(|path| name(path).is_none_or(|name| !self.all().contains(&name)));
        untold.cloned().collect()
    }
}
