//! The objects of a target: which allocate, where they would be probed, and which can be named.

use std::{path::Path, sync::Arc};

use bytesize::ByteSize;
use tracer_common::unwind::NODE_BYTES;

use super::Finding;
use crate::{
    sites::{self, Allocator, FunctionSites, allocator_sites, mapping_sites},
    symbolize::{DebugInfo, SourceRoot, debug_info},
    target::{Module, read_object},
    units::Pid,
    unwind::{self, Tables},
};

/// The allocators, then how stacks are unwound, and then the debug information.
pub(super) fn findings(pid: Pid, program: &Path, modules: &[Arc<Module>]) -> Vec<Finding> {
    let mut modules: Vec<_> = modules.iter().filter(|module| module.file.is_some()).collect();
    modules.sort_by(|a, b| a.path.cmp(&b.path));
    let mut findings: Vec<_> = modules.iter().filter_map(|module| allocator(module)).collect();
    if findings.is_empty() {
        findings.push(no_allocator(&modules));
    }
    findings.extend(modules.iter().filter_map(|module| mappings(module)));
    findings.extend(modules.iter().filter_map(|module| call_frames(module)));
    let roots: Vec<_> =
        SourceRoot::of_process(pid).into_iter().chain(SourceRoot::at(Path::new("/"), 0)).collect();
    findings.extend(modules.iter().map(|module| names(module, module.path == program, &roots)));
    findings
}

/// The probe sites of one object; `None` if it defines no allocator.
fn allocator(module: &Module) -> Option<Finding> {
    let object = read_object(module.file.as_deref()?).ok()?;
    let Allocator { functions, exits, notes } = allocator_sites(&object).ok()?;
    let mut lines = vec![module.path.display().to_string()];
    lines.extend(functions.iter().map(site));
    if !exits.is_empty() {
        let count = exits.len();
        lines.push(format!("operator new ends in {count} places, each with a probe (single-step)"));
    }
    lines.extend(notes.iter().map(ToString::to_string));
    Some(Finding::ok("allocator", lines.join("\n")))
}

/// The functions of one object that change mappings; `None` if it is no libc.
fn mappings(module: &Module) -> Option<Finding> {
    let object = read_object(module.file.as_deref()?).ok()?;
    let Allocator { functions, .. } = mapping_sites(&object).ok()?;
    let mut lines = vec![module.path.display().to_string()];
    lines.extend(functions.iter().map(site));
    (!functions.is_empty()).then(|| Finding::ok("mappings", lines.join("\n")))
}

/// Whether stacks can be unwound through one object; `None` if it can't be read.
fn call_frames(module: &Module) -> Option<Finding> {
    const WHAT: &str = "unwinding";
    let path = module.path.display();
    let object = read_object(module.file.as_deref()?).ok()?;
    Some(match unwind::build(&object).ok()? {
        Some(Tables { tables, rows, unsupported }) => {
            let nodes: usize = tables.iter().map(|table| table.nodes.len()).sum();
            let bytes = ByteSize((nodes * NODE_BYTES) as u64).display().iec();
            let share = match unsupported {
                0 => String::new(),
                some => format!(", {some} of a kind that can't be followed"),
            };
            Finding::ok(
                WHAT,
                format!("{path}: {rows} rows of call frame information{share}; {bytes}"),
            )
        }
        None => Finding::warn(
            WHAT,
            format!(
                "{path}: no call frame information: stacks end there, unless it keeps frame pointers"
            ),
            "build it with -fasynchronous-unwind-tables, and don't strip .eh_frame",
        ),
    })
}

fn site(function: &FunctionSites) -> String {
    let site = &function.site;
    let cost = if site.emulated { "emulated" } else { "single-step" };
    let text = format!("{:<15} +{:<3} {cost:<12} {}", function.name, site.skip, site.instruction);
    if function.aliases.is_empty() {
        text
    } else {
        format!("{text}  (also {})", function.aliases.join(", "))
    }
}

fn no_allocator(modules: &[&Arc<Module>]) -> Finding {
    let is_go = modules
        .iter()
        .filter_map(|module| read_object(module.file.as_deref()?).ok())
        .any(|object| sites::is_go(&object));
    let (detail, remedy) = if is_go {
        (
            "a Go program, whose runtime allocates without malloc",
            "use Go's own profiler: go tool pprof",
        )
    } else {
        ("no object defines malloc and free by a symbol", "link it dynamically, or do not strip it")
    };
    Finding::bad("allocator", detail, remedy)
}

fn names(module: &Module, is_program: bool, roots: &[SourceRoot]) -> Finding {
    const WHAT: &str = "names";
    let path = module.path.display();
    match debug_info(module, roots) {
        DebugInfo::Inside => Finding::ok(WHAT, format!("{path}: functions and lines")),
        DebugInfo::Separate => {
            Finding::ok(WHAT, format!("{path}: functions and lines, by its separate debug file"))
        }
        DebugInfo::Absent { has_symbols, looked_for } => {
            let names = if has_symbols { "functions" } else { "exported functions only" };
            let mut lines = vec![format!("{path}: {names}, no lines")];
            lines.extend(looked_for.iter().map(|path| format!("looked for {}", path.display())));
            if is_program {
                let remedy =
                    "build it with -g, or install its debug information at one of the places above";
                Finding::warn(WHAT, lines.join("\n"), remedy)
            } else {
                Finding::ok(WHAT, lines.join("\n"))
            }
        }
        DebugInfo::Unreadable => Finding::ok(WHAT, format!("{path}: can't be read")),
    }
}
