//! The program: parse, run, exit.

use std::process::ExitCode;

use file_simulator_e2e::{cli, commands};

fn main() -> ExitCode {
    match cli::parse() {
        Ok(request) => commands::run(&request).into(),
        Err(refusal) => {
            eprintln!("{refusal}");
            refusal.exit.into()
        }
    }
}
