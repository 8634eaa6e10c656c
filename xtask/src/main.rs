//! `cargo xtask …`: the commands that developers and CI use. Each is a file; this one only
//! dispatches.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod apt;
mod bench;
mod ci;
mod demo;
mod need;
mod setup;
mod test;
mod vm_test;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, checks and shows memtrace")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the eBPF program needs to be built, by whichever way works here
    Setup,
    /// Build the eBPF object and print its path (`cargo build` does this by itself)
    BuildEbpf,
    /// Build everything and run every test; needs root
    Test {
        /// Passed on to `cargo test --workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
        cargo_arguments: Vec<String>,
    },
    /// Trace planted leaks on other kernels, in virtual machines (minutes each)
    VmTest {
        /// Only on this kernel
        #[arg(long = "kernel", value_name = "VERSION", value_parser = vm_test::versions())]
        kernel: Option<String>,
    },
    /// Trace a small server with a planted leak; needs root
    Demo,
    /// Measure what tracing costs the traced program, beside other tools; needs root
    Bench(bench::Options),
    /// What CI does: formatting, lints, licences, tests
    Ci,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Setup => setup::run_and_tell(),
        Task::BuildEbpf => {
            println!("{}", xtask::ebpf::build()?.display());
            Ok(())
        }
        Task::Test { cargo_arguments } => test::run_all(cargo_arguments),
        Task::VmTest { kernel } => vm_test::run_all(kernel.as_deref()),
        Task::Demo => demo::show(),
        Task::Bench(options) => bench::show(options),
        Task::Ci => ci::run_all(),
    }
}
