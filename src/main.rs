//! The program: parse, run, exit.

use std::process::ExitCode;

use file_simulator_e2e::{cli, run};

fn main() -> ExitCode {
    match cli::parse() {
        Ok(request) => run(&request).into(),
        Err(refusal) => {
            eprintln!("{refusal}");
            refusal.exit.into()
        }
    }
}
