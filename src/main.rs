//! The program: parse, run, exit.

use std::process::ExitCode;

use file_simulator_e2e::{cli, commands, output};

fn main() -> ExitCode {
    match cli::parse() {
        Ok(request) => output::ended(commands::run(&request)).into(),
        Err(refusal) => {
            output::tell(&refusal);
            refusal.exit.into()
        }
    }
}
