//! What a test needs of the machine, and saying so where it isn't there.

use std::{env, io::Write as _};

use rustix::process::geteuid;

/// Set where every test has to run: a skipped one fails.
const NO_SKIP: &str = "MEMTRACE_TEST_NO_SKIP";

/// Set for the long version of tests that have one: millions of events in place of a sample.
const FULL: &str = "MEMTRACE_TEST_FULL";

/// Whether the long version of a test is asked for.
pub fn in_full() -> bool {
    env::var_os(FULL).is_some_and(|value| value != "0")
}

/// Says why a test can't run here; the test then returns. Not to be overlooked in CI, so with
/// `MEMTRACE_TEST_NO_SKIP` set it is a failure.
///
/// # Panics
///
/// With `MEMTRACE_TEST_NO_SKIP` set.
pub fn skip(why: &str) {
    assert!(env::var_os(NO_SKIP).is_none(), "skipped, although {NO_SKIP} is set: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not by a print macro: what these say of a passing test is not shown.
    let _ = writeln!(std::io::stderr(), "skipped {test}: {why}");
}

/// Says that a variant of what a test is about is not installed here. Machines differ in these, so it is no failure; a test
/// that has nothing at all to work on is to [`skip`].
pub fn absent(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "{test}: not installed here: {what}");
}

/// Whether tracing, or one of the programs that a test is about, is out of reach here. Says so if it is.
pub fn cannot_trace(programs: &[&str]) -> bool {
    if !geteuid().is_root() {
        skip("eBPF programs can only be loaded as root");
        return true;
    }
    for program in programs {
        if find(program).is_none() {
            skip(&format!("{program} is not installed"));
            return true;
        }
    }
    false
}

fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
