//! The `memtrace` command: reads the command line, does what it asks for, prints the one error if there is one.

use std::{
    io::{ErrorKind, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use memtrace::{
    cli::{Arguments, DiffConfig, Exit, Format, Request, Target, TraceConfig, set_up_talk},
    compare::{Diff, Recording},
    doctor,
    report::{self, Palette},
    session,
};

fn main() -> ExitCode {
    match Request::resolve(Arguments::parse()) {
        Ok(Request::Trace(config)) => trace(*config),
        Ok(Request::Diff(config)) => diff(&config),
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

fn diff(config: &DiffConfig) -> Exit {
    let recordings = (Recording::read(&config.before), Recording::read(&config.after));
    let (before, after) = match recordings {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => {
            complain(&error.into());
            return Exit::Failed;
        }
    };
    let diff = Diff::new(&before, &after);
    let palette = if config.color { Palette::colour() } else { Palette::plain() };
    let bytes = match config.format {
        Format::Text => report::diff_text(&diff, config.filter, config.top, palette),
        Format::Json => report::diff_json(&diff, config.filter, config.top),
    };
    match std::io::stdout().write_all(&bytes) {
        // Who reads no further has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&anyhow::Error::new(error).context("the comparison can't be written"));
            Exit::Failed
        }
        _ => Exit::Done,
    }
}

/// The one place that prints errors. Where stderr is gone, there is nobody to tell.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(anstream::stderr(), "memtrace: {error:#}");
}
