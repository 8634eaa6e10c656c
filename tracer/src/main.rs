//! The `memtrace` command: reads the command line, runs a session, prints the one error if there is one.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use memtrace::{
    cli::{Arguments, Exit, Target, TraceConfig, set_up_talk},
    session,
};

fn main() -> ExitCode {
    let config = match TraceConfig::resolve(Arguments::parse()) {
        Ok(config) => config,
        Err(error) => {
            complain(&error.into());
            return Exit::Usage.into();
        }
    };
    set_up_talk(config.quiet, config.verbose);
    let under_exec = matches!(config.target, Target::Exec { .. });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&anyhow::Error::new(error).context("no runtime for waiting"));
            return if under_exec { Exit::ExecFailed } else { Exit::Failed }.into();
        }
    };
    match runtime.block_on(session::run(config)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = error.exit(under_exec);
            complain(&error.into());
            exit.into()
        }
    }
}

/// The one place that prints errors. Where stderr is gone, there is nobody to tell.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(anstream::stderr(), "memtrace: {error:#}");
}
