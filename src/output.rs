//! Standard output and standard error. Writing may fail at any time, which never ends a run: a closed pipe is ignored, and any
//! other failure, such as a full disk, changes the exit code.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

use crate::error::Refusal;
use crate::exit_code::Exit;
use crate::redact;

/// The first error of writing to standard output.
static FAILURE: OnceLock<String> = OnceLock::new();

/// Standard output as a writer that never fails.
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        note_failure(io::stdout().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        note_failure(io::stdout().flush());
        Ok(())
    }
}

pub fn print_line(line: impl Display) {
    note_failure(io::stdout().write_all(format!("{line}\n").as_bytes()));
}

/// Prints a line to standard error, without secrets; it may quote pods and plugins.
pub fn print_error(line: impl Display) {
    let _ = io::stderr().write_all(format!("{}\n", redact::text(&line.to_string())).as_bytes());
}

/// Remembers a failure of standard output for [`final_exit`].
pub fn note_failure(written: io::Result<()>) {
    if let Some(error) = written.err().filter(|error| error.kind() != ErrorKind::BrokenPipe) {
        FAILURE.get_or_init(|| error.to_string());
    }
}

/// The program's exit code: incomplete output is never a success.
pub fn final_exit(exit: Exit) -> Exit {
    note_failure(io::stdout().flush());
    let Some(why) = FAILURE.get() else { return exit };
    print_error(Refusal::start(
        format!("cannot write all of the output: {why}"),
        "free disk space, or redirect the output",
    ));
    if matches!(exit, Exit::Passed | Exit::Nothing) { Exit::CouldNotJudge } else { exit }
}
