//! Stacks, frame by frame: the programs unwind their own with the compiler's unwinder and tell what they find
//! (`programs/known.h`). What memtrace calls complete has to be the same to the byte, out to the
//! outermost function; everything else has to say why it ends, and to be the same that far.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use memtrace_tests::{
    Compared, Document, KNOWN_FILE, Known, Memtrace, Program, Target, cannot_trace, in_full,
};

const COMPLETE: &[&str] = &["complete"];
const TRUNCATED: &[&str] = &["truncated"];
const FRAME_POINTERS: &[&str] = &["frame_pointers"];

/// All that say so where a stack is not whole.
const EXPLICIT: &[&str] = &[
    "frame_pointers",
    "no_rule",
    "unknown_code",
    "unsupported_rule",
    "read_fault",
    "bad_stack",
    "truncated",
];

/// Where the tables follow the target, instead of being there before it.
const SOON: &[&str] = &["complete", "table_pending", "unknown_code"];

/// What a library is compiled with, and whether it has frame pointers.
const LIBRARIES: [(&[&str], bool); 8] = [
    (&["-O0", "-fno-omit-frame-pointer"], true),
    (&["-O0", "-fomit-frame-pointer"], false),
    (&["-O2", "-fno-omit-frame-pointer"], true),
    (&["-O2", "-fomit-frame-pointer"], false),
    (&["-O3", "-fno-omit-frame-pointer"], true),
    (&["-O3", "-fomit-frame-pointer"], false),
    // Stubs that are bound when they are first used, of both kinds.
    (&["-O2", "-fomit-frame-pointer", "-flto", "-Wl,-z,lazy"], false),
    (&["-O1", "-fomit-frame-pointer", "-fcf-protection=full", "-Wl,-z,lazy,-z,ibtplt"], false),
];

/// As `musl-gcc` calls the compiler; and a table that the unwinder of the program itself needs.
const MUSL: [&str; 3] =
    ["-specs", "/usr/lib/x86_64-linux-musl/musl-gcc.specs", "-Wl,--eh-frame-hdr"];

#[test]
fn c_in_all_ways() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let mut libraries = Vec::new();
    for index in 0..LIBRARIES.len() {
        libraries.push(c_library(index)?);
    }
    let program = c_program()?;
    let mut arguments: Vec<&Path> = vec![Path::new("wait")];
    arguments.extend(libraries.iter().map(Program::path));
    let compared = attached(&program, &arguments, "")?;
    check(&compared, |name| match name {
        "program: constructor" => None, // before memtrace came
        _ => Some(of_c(name)),
    })
}

/// From before `main` to after it, without waiting for anything.
#[test]
fn c_under_exec() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let program = linked(&["-O2", "-fPIE", "-pie", "-rdynamic", "-DSHARED_C_LIBRARY"])?;
    let compared = under_exec(&program)?;
    check(&compared, |name| Some(of_c(name)))
}

#[test]
fn static_c() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    for flags in [&["-static"][..], &["-static-pie", "-fPIE"]] {
        let program = linked(&[&["-O2"], flags].concat())?;
        let compared = under_exec(&program)?;
        check(&compared, |name| Some(of_c(name)))?;
    }
    Ok(())
}

/// Its own functions have no call frame information: no stack goes through them without saying so.
#[test]
fn musl() -> Result<()> {
    if cannot_trace(&["cc", "musl-gcc"]) {
        return Ok(());
    }
    for flags in [&[][..], &["-static"]] {
        let program = linked(&[&MUSL[..], &["-O2"], flags].concat())?;
        let compared = under_exec(&program)?;
        check(&compared, |name| match of_c(name) {
            TRUNCATED => Some(TRUNCATED),
            // Also complete, where that is right; the comparison sees to it.
            _ => None,
        })?;
    }
    Ok(())
}

#[test]
fn cpp() -> Result<()> {
    if cannot_trace(&["c++"]) {
        return Ok(());
    }
    let known = known_object(&[])?;
    for flags in [["-O0", "-fno-omit-frame-pointer"], ["-O2", "-fomit-frame-pointer"]] {
        let flags = [&["-std=c++17", "-fno-builtin"], &flags[..], &[text(&known)?]].concat();
        let program = Program::compile("unwinding.cc", &flags)?;
        let compared = attached(&program, &[], "")?;
        check(&compared, |name| match name {
            "c++: constructor of a global variable" => None, // before memtrace came
            _ => Some(COMPLETE),
        })?;
    }
    Ok(())
}

#[test]
fn rust() -> Result<()> {
    if cannot_trace(&["rustc", "cc"]) {
        return Ok(());
    }
    let object = format!("link-arg={}", text(&known_object(&[])?)?);
    let program = Program::compile("unwinding.rs", &["-O", "-C", "panic=unwind", "-C", &object])?;
    let compared = attached(&program, &[], "")?;
    check(&compared, |_| Some(COMPLETE))
}

/// A library that comes while memtrace is there: its table follows.
#[test]
fn a_library_loaded_later() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let library = library("200")?;
    let arguments = [Path::new("stay"), library.path()];
    let compared = attached(&loader()?, &arguments, "")?;
    check(&compared, |_| Some(SOON))?;
    assert!(complete(&compared, "library") > 0, "its table never came");
    Ok(())
}

/// The target waits until the library's table is there, so that nothing is missing, not even in its constructor.
#[test]
fn a_library_waited_for() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let library = library("200")?;
    let arguments = [Path::new("stay"), library.path()];
    let compared = attached(&loader()?, &arguments, "--sync-dlopen")?;
    check(&compared, |_| Some(COMPLETE))
}

/// Two libraries whose code is in the same place, with other frames: the rules of one are never taken for the other's.
#[test]
fn two_libraries_at_one_address() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let rounds = if in_full() { "2000" } else { "200" };
    let (first, second) = (library("200")?, library("4000")?);
    let arguments = [Path::new("reuse"), first.path(), second.path(), Path::new(rounds)];
    for more in ["", "--sync-dlopen"] {
        let compared = attached(&loader()?, &arguments, more)?;
        check(&compared, |_| Some(if more.is_empty() { SOON } else { COMPLETE }))?;
    }
    Ok(())
}

/// A library that the program loads answers to the name of one that it was linked with, which is never unloaded. This
/// one is.
#[test]
fn a_library_with_the_name_of_a_linked_one() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let named = "-Wl,-soname,libtwin.so";
    let folder = tempfile::tempdir()?;
    let linked = folder.path().join("libtwin.so");
    fs::copy(library_with("200", &[named, "-DQUIET"])?.path(), &linked)?;
    let search = format!("-Wl,-rpath,{}", text(folder.path())?);
    let program = loader_with(&["-Wl,--no-as-needed", text(&linked)?, &search])?;
    let (first, second) = (library_with("200", &[named])?, library("4000")?);
    let arguments = [Path::new("reuse"), first.path(), second.path(), Path::new("40")];
    check(&attached(&program, &arguments, "")?, |_| Some(SOON))
}

/// A library is unloaded, its file written anew and loaded again: the number of the file is the same, its code is not.
#[test]
fn a_library_that_is_written_anew() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("plugin.so");
    let (first, second) = (library("200")?, library("4000")?);
    let arguments =
        [Path::new("reload"), file.as_path(), first.path(), second.path(), Path::new("8")];
    let compared = attached(&loader()?, &arguments, "")?;
    check(&compared, |_| Some(SOON))?;
    assert!(complete(&compared, "library") > 80, "the new tables never came");
    Ok(())
}

/// The target becomes another program: what was known of the old one's code is no longer true.
#[test]
fn after_execve() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let compared = attached(&loader()?, &[Path::new("become")], "")?;
    check(&compared, |name| Some(if name == "loader: before execve" { COMPLETE } else { SOON }))?;
    assert!(complete(&compared, "loader: after execve") > 0, "its tables never came");
    Ok(())
}

/// Children come and go, which are not traced, and have the same code in the same places.
#[test]
fn a_storm_of_processes() -> Result<()> {
    if cannot_trace(&["cc"]) {
        return Ok(());
    }
    let compared = attached(&loader()?, &[Path::new("storm")], "")?;
    check(&compared, |_| Some(COMPLETE))
}

/// How a stack of `programs/unwinding_cases.c` may end.
fn of_c(name: &str) -> &'static [&'static str] {
    let (library, case) = name.split_once(": ").unwrap_or_default();
    let index = library.strip_prefix("library ").and_then(|number| number.parse::<usize>().ok());
    let framed = index.is_some_and(|index| LIBRARIES[index].1);
    match case {
        "too deep" => TRUNCATED,
        "unframed code" | "called back by unframed code" if framed => FRAME_POINTERS,
        "unframed code"
        | "called back by unframed code"
        | "generated code"
        | "generated code without frame pointer"
        // Set up so that nothing is further out.
        | "coroutine"
        | "coroutine that goes on" => EXPLICIT,
        _ => COMPLETE,
    }
}

/// Runs a program that waits, attached to it.
fn attached(program: &Program, arguments: &[&Path], more: &str) -> Result<Vec<Compared>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("known");
    let mut command = program.command(&[]);
    let mut target = Target::start(command.args(arguments).env(KNOWN_FILE, &file))?;
    target.expect("ready")?;
    let mut memtrace =
        Memtrace::attach(target.pid()).args("-i 1h --format json").args(more).start()?;
    memtrace.attached()?;
    target.send("go\n")?;
    target.expect("done")?;
    target.close_input();
    ensure!(target.wait()?.success(), "the program failed");
    compare(&memtrace.finish()?.document()?, &file)
}

/// Runs a program under memtrace.
fn under_exec(program: &Program) -> Result<Vec<Compared>> {
    let folder = tempfile::tempdir()?;
    let (report, file) = (folder.path().join("report.json"), folder.path().join("known"));
    Memtrace::new(["exec", "--format", "json", "-o"])
        .arg(&report)
        .env(KNOWN_FILE, &file.to_string_lossy())
        .arg("--")
        .arg(program.path())
        .run()?
        .expect_code(0);
    compare(&Document::read(&report)?, &file)
}

fn compare(report: &Document, file: &Path) -> Result<Vec<Compared>> {
    let known = Known::read(file)?;
    ensure!(!known.is_empty(), "the program told nothing");
    Ok(known.compare(report))
}

/// Fails with all that is wrong. `required` says how a stack may end; a case for which it says nothing need not be
/// in the report, but is right where it is.
#[track_caller]
fn check(
    compared: &[Compared],
    required: impl Fn(&str) -> Option<&'static [&'static str]>,
) -> Result<()> {
    let mut wrong = String::new();
    let mut sum: BTreeMap<&str, i64> = BTreeMap::new();
    for case in compared {
        for (status, blocks) in &case.blocks {
            *sum.entry(status).or_default() += blocks;
        }
        let Some(required) = required(&case.name) else {
            if !case.blocks.is_empty() {
                wrong.push_str(&case.wrong);
            }
            continue;
        };
        wrong.push_str(&case.wrong);
        if case.blocks.keys().any(|status| !required.contains(&status.as_str())) {
            let _ = writeln!(wrong, "{}: {:?}, not {required:?}", case.name, case.blocks);
        }
    }
    println!("{} cases: {sum:?}", compared.len());
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// Blocks of a case whose stack is complete.
fn complete(compared: &[Compared], name: &str) -> i64 {
    let cases = compared.iter().filter(|case| case.name == name);
    cases.filter_map(|case| case.blocks.get("complete")).sum()
}

/// The host of the libraries.
fn c_program() -> Result<Program> {
    let known = known_object(&[])?;
    Program::compile("unwinding.c", &["-O2", text(&known)?])
}

fn c_library(index: usize) -> Result<Program> {
    let (flags, framed) = LIBRARIES[index];
    let (known, unframed) = (known_object(&[])?, unframed_object(framed)?);
    let own = ["-fno-builtin", "-fPIC", "-shared", "-DSHARED_C_LIBRARY"];
    let objects = [text(&known)?, text(&unframed)?];
    Program::compile("unwinding_cases.c", &[flags, &own, &objects].concat())
}

/// The same cases in the program itself.
fn linked(flags: &[&str]) -> Result<Program> {
    let of_library: Vec<&str> = flags.iter().copied().filter(|flag| MUSL.contains(flag)).collect();
    let (known, unframed) = (known_object(&of_library)?, unframed_object(false)?);
    let cases = [flags, &["-fno-builtin", "-c"]].concat();
    let cases = object("unwinding_cases.c", &cases)?;
    let objects = [text(&cases)?, text(&unframed)?, text(&known)?];
    Program::compile("unwinding.c", &[flags, &["-DLINKED"], &objects].concat())
}

fn loader() -> Result<Program> {
    loader_with(&[])
}

fn loader_with(flags: &[&str]) -> Result<Program> {
    let known = known_object(&[])?;
    let flags = [&["-O2", "-fno-builtin", text(&known)?], flags].concat();
    Program::compile("unwinding_loader.c", &flags)
}

fn library(room: &str) -> Result<Program> {
    library_with(room, &[])
}

fn library_with(room: &str, flags: &[&str]) -> Result<Program> {
    let (known, room) = (known_object(&[])?, format!("-DROOM={room}"));
    let all = ["-O2", "-fno-builtin", "-fPIC", "-shared", &room, text(&known)?];
    Program::compile("unwinding_library.c", &[&all, flags].concat())
}

fn known_object(flags: &[&str]) -> Result<PathBuf> {
    object("known.c", &[flags, &["-O2", "-fPIC", "-c"]].concat())
}

/// Without call frame information, also without that for debuggers.
fn unframed_object(framed: bool) -> Result<PathBuf> {
    let pointer = if framed { "-fno-omit-frame-pointer" } else { "-fomit-frame-pointer" };
    let without = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g0"];
    object("unframed.c", &[&["-O2", "-fPIC", "-c", pointer][..], &without].concat())
}

fn object(source: &str, flags: &[&str]) -> Result<PathBuf> {
    Ok(Program::compile(source, flags)?.path().to_owned())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| path.display().to_string())
}
