//! The program: parses the command line, runs the command, exits.

use std::process::ExitCode;

use file_simulator_e2e::{cli, commands, output};

fn main() -> ExitCode {
    match cli::parse() {
        Ok(request) => output::final_exit(commands::run(&request)).into(),
        Err(refusal) => {
            output::print_error(&refusal);
            refusal.exit.into()
        }
    }
}
