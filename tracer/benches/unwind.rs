//! What making unwind tables costs, of a small, a middling and a very large object; those that the machine
//! doesn't have are left out. `cargo bench -p memtrace --bench unwind`.

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};
use memtrace::unwind::{Table, build};

fn objects() -> Vec<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let python = ["3.13.0/lib/libpython3.13.so.1.0", "3.11.7/lib/libpython3.11.so.1.0"]
        .map(|it| Path::new(&home).join(".pyenv/versions").join(it));
    let rustc = fs::read_dir(Path::new(&home).join(".rustup/toolchains"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|toolchain| fs::read_dir(toolchain.path().join("lib")).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("librustc_driver"));
    let libc = PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6");
    [libc].into_iter().chain(python).chain(rustc).filter(|path| path.exists()).collect()
}

fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("tables");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for path in objects() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(object) = fs::read(&path) else { continue };
        let Ok(Some(tables)) = build(&object) else { continue };
        let bytes: usize = tables.tables.iter().map(Table::bytes).sum();
        println!(
            "{name}: {} bytes of object, {} rows, {} unsupported, {} tables, {bytes} bytes of tables",
            object.len(),
            tables.rows,
            tables.unsupported,
            tables.tables.len(),
        );
        group.bench_function(&name, |b| b.iter(|| black_box(build(black_box(&object)))));
    }
    group.finish();
}

criterion_group!(benches, tables);
criterion_main!(benches);
