//! The `memtrace` command: reads the command line, does what it asks for, prints the one error if there is one.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use memtrace::{
    cli::{Arguments, Exit, Request, Target, TraceConfig, set_up_talk},
    doctor, session,
};

fn main() -> ExitCode {
    match Request::resolve(Arguments::parse()) {
        Ok(Request::Trace(config)) => trace(*config),
        Ok(Request::Doctor(config)) => {
            let diagnosis = doctor::diagnose(config);
            let written = anstream::stdout().write_all(diagnosis.text.as_bytes());
            if written.is_ok() && diagnosis.works { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            complain(&error.into());
            Exit::Usage
        }
    }
    .into()
}

fn trace(config: TraceConfig) -> Exit {
    set_up_talk(config.quiet, config.verbose);
    let under_exec = matches!(config.target, Target::Exec { .. });
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&anyhow::Error::new(error).context("no runtime for waiting"));
            return if under_exec { Exit::ExecFailed } else { Exit::Failed };
        }
    };
    match runtime.block_on(session::run(config)) {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit(under_exec);
            complain(&error.into());
            exit
        }
    }
}

/// The one place that prints errors. Where stderr is gone, there is nobody to tell.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(anstream::stderr(), "memtrace: {error:#}");
}
