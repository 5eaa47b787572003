//! Standard output and standard error, which may fail at any moment: nothing that runs ends because of it. Whoever stopped
//! reading has read enough; any other failure, such as a full disk, is kept for the exit code. Imports `error` for that, and `redact`.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use crate::error::{Exit, Refusal};
use crate::redact;

/// Why something could not be written to standard output.
static FAILED: OnceLock<String> = OnceLock::new();

/// Standard output, for whom that cannot fail.
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        keep(io::stdout().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        keep(io::stdout().flush());
        Ok(())
    }
}

pub fn say(line: impl Display) {
    keep(io::stdout().write_all(format!("{line}\n").as_bytes()));
}

/// Prints a line to standard error, without secrets: strangers' words may be in it. Where nobody can read it, there is
/// nobody to tell.
pub fn tell(line: impl Display) {
    let _ = io::stderr().write_all(format!("{}\n", redact::text(&line.to_string())).as_bytes());
}

/// Keeps in mind what went wrong with standard output.
pub fn keep(written: io::Result<()>) {
    if let Some(error) = written.err().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
        FAILED.get_or_init(|| error.to_string());
    }
}

/// The exit code of a program that would end so: none that printed less than it meant to is a success.
pub fn ended(exit: Exit) -> Exit {
    keep(io::stdout().flush());
    let Some(why) = FAILED.get() else { return exit };
    tell(Refusal::start(format!("cannot write all of the output: {why}"), "make room on its disk, or redirect it"));
    if matches!(exit, Exit::Passed | Exit::Nothing) { Exit::CouldNotJudge } else { exit }
}
