//! What symbolizing costs. Measures on this test binary, or on the object in `MEMTRACE_OBJECT`:
//! `cargo test --release -p memtrace symbolize::tests::speed -- --ignored --nocapture`.

use std::{env, fs, fs::File, path::PathBuf, sync::Arc, time::Instant};

use object::{Object, ObjectSymbol, SymbolKind};

use crate::{
    symbolize::{Frame, SourceRoot, Symbolizer},
    target::{Location, Module, ModuleId},
    units::{ElfAddr, Pid},
};

const STACKS: usize = 10_000;
const DEPTH: usize = 15;

/// Stacks of addresses all over the object's functions, far more spread out than real ones.
fn stacks(path: &PathBuf) -> Vec<Vec<Location>> {
    let data = fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let mut functions: Vec<u64> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 16)
        .map(|symbol| symbol.address() + symbol.size() / 2)
        .collect();
    functions.sort_unstable();
    functions.dedup();
    let spread: usize =
        env::var("MEMTRACE_ADDRESSES").map_or(functions.len(), |n| n.parse().unwrap());
    let step = functions.len() / spread.min(functions.len());
    let addresses: Vec<u64> = functions.into_iter().step_by(step).collect();
    println!("{} distinct addresses", addresses.len());
    let at = |i: usize| addresses[i.wrapping_mul(7919) % addresses.len()];
    (0..STACKS)
        .map(|stack| (0..DEPTH).map(move |i| stack * DEPTH + i))
        .map(|stack| stack.map(|i| Location::InModule(ModuleId(0), ElfAddr(at(i)))).collect())
        .collect()
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let of = |key| status.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    format!("{}, {}, {}", of("VmHWM"), of("RssAnon"), of("RssShmem")).replace(['\t', ' '], "")
}

#[test]
#[ignore = "a measurement, for a release build"]
fn ten_thousand_stacks() {
    let path = env::var("MEMTRACE_OBJECT").map_or_else(|_| env::current_exe().unwrap(), Into::into);
    let stacks = stacks(&path);
    let file = Some(Arc::new(File::open(&path).unwrap()));
    let module = Arc::new(Module { id: ModuleId(0), path, file });
    let root = SourceRoot::of_process(Pid(std::process::id())).unwrap();
    let mut symbolizer = Symbolizer::new(Some(root));
    println!("before: {}", memory());
    for pass in ["first", "again"] {
        let start = Instant::now();
        let found = symbolizer.symbolize(&[Arc::clone(&module)], &stacks, |_| None);
        let took = start.elapsed();
        let frames: Vec<&Frame> = found.iter().flatten().collect();
        let lines = frames.iter().filter(|frame| frame.line.is_some()).count();
        let sources = frames.iter().filter(|frame| frame.source.is_some()).count();
        println!("{pass}: {took:?}, {} frames, {lines} lines, {sources} sources", frames.len());
        println!("{pass}: {}", memory());
    }
}
