//! The binary: arguments in, exit code out. It does not know what the commands do.

use std::{io, process::ExitCode};

use cauce::{
    cli::{self, Answer, Args},
    error::{Error, Kind, Result},
};
use clap::Parser as _;

fn main() -> ExitCode {
    // Ends the process itself, with 2 for usage errors and 0 for --help.
    let args = Args::parse();
    let as_json = args.json;
    match run(args).and_then(|answer| print(&answer, as_json)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _ = cli::say(&mut io::stderr().lock(), &format!("cauce: {error}"));
            ExitCode::from(cli::exit_code(error.kind))
        }
    }
}

fn run(args: Args) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::with(Kind::Unavailable, "cannot start threads", e))?;
    let answer = runtime.block_on(args.run());
    // What still runs was given its time; waiting for it could hold the exit for ever.
    runtime.shutdown_background();
    answer
}

/// Prints the answer; whether the command succeeded.
fn print(answer: &Answer, as_json: bool) -> Result<bool> {
    cli::say(&mut io::stdout().lock(), &answer.show(as_json))
        .map_err(|e| Error::with(Kind::Unavailable, "cannot write to standard output", e))?;
    Ok(answer.ok)
}
