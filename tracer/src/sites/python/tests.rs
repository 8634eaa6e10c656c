//! Small interpreters that show one thing each, and those that are installed here.

use std::ops::Range;

use super::*;
use crate::{
    sites::{Role, elf::Elf, symbols, testing::compiled},
    units::ElfAddr,
};

/// What CPython has, as far as it matters: `TABLES` declares three tables, `MALLOC(n)` is the body of `PyObject_Malloc`.
const SOURCE: &str = "
    typedef unsigned long size;
    struct table {
        void *ctx;
        void *(*malloc)(void *, size);
        void *(*calloc)(void *, size, size);
        void *(*realloc)(void *, void *, size);
        void (*free)(void *, void *);
    };
    char pool[1 << 20]; size used;
    #define IMPLEMENTATION static __attribute__((noipa))
    IMPLEMENTATION void *small_malloc(void *c, size n) { (void)c; used += n; return pool + used; }
    IMPLEMENTATION void *small_calloc(void *c, size n, size m) { (void)c; return pool + n * m; }
    IMPLEMENTATION void *small_realloc(void *c, void *p, size n) { (void)c; used -= n; return p; }
    IMPLEMENTATION void small_free(void *c, void *p) { (void)c; used -= p != 0; }
    TABLES
    void setup(void) {
        struct table t = {0, small_malloc, small_calloc, small_realloc, small_free};
        RAW = OBJECT = MEMORY = t;
    }
    #define MAX ((size)-1 >> 1)
    #define KIND(PREFIX, TABLE, MALLOC) \\
        void *PREFIX##Malloc(size n) { if (n > MAX) return 0; return MALLOC; } \\
        void *PREFIX##Calloc(size n, size m) { \\
            if (m && n > MAX / m) return 0; return TABLE.calloc(TABLE.ctx, n, m); } \\
        void *PREFIX##Realloc(void *p, size n) { if (n > MAX) return 0; return TABLE.realloc(TABLE.ctx, p, n); } \\
        void PREFIX##Free(void *p) { TABLE.free(TABLE.ctx, p); }
    KIND(PyMem_Raw, RAW, RAW.malloc(RAW.ctx, n))
    KIND(PyMem_, MEMORY, MEMORY.malloc(MEMORY.ctx, n))
    KIND(PyObject_, OBJECT, OBJECT_MALLOC)
    int Py_IsInitialized(void) { setup(); return 1; }
    OTHER
";
/// The tables are the interpreter's own variables.
const VARIABLES: &str = "static struct table tables[3];";
const OF_VARIABLES: [&str; 3] = ["-DRAW=tables[0]", "-DOBJECT=tables[1]", "-DMEMORY=tables[2]"];
/// They are parts of a structure that is exported.
const RUNTIME: &str = "struct { long version[20]; struct table raw, mem, object; } _PyRuntime;";
const OF_RUNTIME: [&str; 3] =
    ["-DRAW=_PyRuntime.raw", "-DOBJECT=_PyRuntime.object", "-DMEMORY=_PyRuntime.mem"];
const PLAIN: &str = "OBJECT.malloc(OBJECT.ctx, n)";
/// What GCC makes of a call that mostly goes to one function.
const PROMOTED: &str = "OBJECT.malloc == small_malloc ? (used += n, (void *)(pool + used)) : OBJECT.malloc(OBJECT.ctx, n)";
/// The same where it makes no copy of the body.
const DIRECT: &str =
    "OBJECT.malloc == small_malloc ? small_malloc(OBJECT.ctx, n) : OBJECT.malloc(OBJECT.ctx, n)";
/// Questions for what is in use.
const QUESTIONS: &str = "
    int puts(const char *);
    int is_small(void) { return OBJECT.malloc == small_malloc; }
    int statistics(void) { if (OBJECT.malloc != small_malloc) return 0; puts(\"statistics\"); return 1; }
    int other(void) { if (OBJECT.malloc == small_malloc) return 0; puts(\"other\"); return 1; }
";

fn interpreter(
    tables: &str,
    places: [&str; 3],
    malloc: &str,
    other: &str,
    flags: &[&str],
) -> Option<Vec<u8>> {
    let source =
        SOURCE.replace("TABLES", tables).replace("OBJECT_MALLOC", malloc).replace("OTHER", other);
    compiled("gcc", "python.c", &source, &[&["-O2"], &places[..], flags].concat())
}

const SHARED: [&str; 2] = ["-shared", "-fPIC"];

fn address(object: &[u8], name: &str) -> ElfAddr {
    let elf = Elf::parse(object).expect("it is ELF");
    let linked = symbols::linked(&elf);
    linked.iter().find(|symbol| symbol.name == name).expect(name).address
}

/// Where a function's code is in the file.
fn within(object: &[u8], name: &str) -> Range<u64> {
    let elf = Elf::parse(object).expect("it is ELF");
    let linked = symbols::linked(&elf);
    let symbol = linked.iter().find(|symbol| symbol.name == name).expect(name);
    let start = elf.code_offset(symbol.address).expect(name).0;
    start..start + symbol.size
}

#[test]
fn tables_that_are_variables_are_found() {
    let Some(object) = interpreter(VARIABLES, OF_VARIABLES, PLAIN, "", &SHARED) else { return };
    let tables = object_tables(&object).expect("of a known form").expect("an interpreter");
    assert!(matches!(tables.raw, TablePlace::At(_)), "{tables:?}");
    assert_eq!((tables.object, tables.memory), (tables.raw.plus(40), tables.raw.plus(80)));
}

#[test]
fn tables_behind_the_global_offset_table_are_found() {
    let Some(object) = interpreter(RUNTIME, OF_RUNTIME, PLAIN, "", &SHARED) else { return };
    let tables = object_tables(&object).expect("of a known form").expect("an interpreter");
    let TablePlace::Behind { offset: 160, .. } = tables.raw else { panic!("{tables:?}") };
    assert_eq!((tables.memory, tables.object), (tables.raw.plus(40), tables.raw.plus(80)));
}

#[test]
fn tables_of_an_executable_are_found_behind_promoted_calls() {
    for flags in [["-rdynamic", "-no-pie", "-DX"], ["-rdynamic", "-pie", "-fPIE"]] {
        let main = "int main(void) { return Py_IsInitialized(); }";
        let object = interpreter(VARIABLES, OF_VARIABLES, PROMOTED, main, &flags);
        let Some(object) = object else { return };
        let tables = object_tables(&object).expect("of a known form").expect("an interpreter");
        assert_eq!(tables.object, tables.raw.plus(40));
        let malloc = address(&object, "small_malloc");
        assert_eq!(bypasses(&object, &[malloc]).len(), 1, "{flags:?}");
    }
}

#[test]
fn what_has_no_such_form_is_refused() {
    let own = "pool + n";
    let Some(object) = interpreter(VARIABLES, OF_VARIABLES, own, "", &SHARED) else { return };
    let function = "PyObject_Malloc".to_owned();
    assert_eq!(object_tables(&object), Err(TableError::Unknown { function }));
    assert_eq!(object_tables(b"no object"), Ok(None));
}

#[test]
fn only_a_copy_of_the_body_goes_past_the_function() {
    for (malloc, other, expected) in
        [(PLAIN, "", 0), (PLAIN, QUESTIONS, 0), (DIRECT, "", 0), (PROMOTED, "", 1)]
    {
        for (tables, places) in [(VARIABLES, OF_VARIABLES), (RUNTIME, OF_RUNTIME)] {
            let Some(object) = interpreter(tables, places, malloc, other, &SHARED) else { return };
            let functions = ["small_malloc", "small_calloc", "small_realloc", "small_free"]
                .map(|name| address(&object, name));
            let found = bypasses(&object, &functions);
            assert_eq!(found.len(), expected, "{malloc} {other}: {found:x?}");
            assert!(found.iter().all(|bypass| bypass.function == functions[0]));
        }
    }
}

#[test]
fn a_function_s_arguments_are_there_where_it_is_probed() {
    let Some(object) = interpreter(VARIABLES, OF_VARIABLES, PLAIN, "", &SHARED) else { return };
    let start = address(&object, "small_free");
    let function = target_function(&object, start, Role::PythonFree).expect("it is a function");
    assert_eq!((function.address, function.name.as_str()), (start, "small_free"));
    assert_eq!(target_function(&object, ElfAddr(start.0 + 1), Role::PythonFree), None);
}

/// An allocator that serves a block out of a pool that has one, and takes a pool where there is none.
const POOLS: &str = "
    struct header { unsigned count; char *free; void *next, *previous; unsigned arena, class, fresh, last; };
    struct header *usable, *used[32];
    #define OWN static __attribute__((noipa))
    OWN void *new_pool(unsigned class) {
        struct header *pool = usable;
        usable = pool->next;
        pool->count = 1;
        if (pool->class != class) {
            pool->class = class;
            pool->fresh = 48 + (class << 5);
            pool->last = 16384 - (class << 4);
        }
        return pool;
    }
    OWN void *other(unsigned class) { usable->class = class; usable->fresh = 48; return 0; }
    #define SERVE(class) if (used[class]) { used[class]->count++; return used[class]->free; }
    OWN void *serve(unsigned class) { SERVE(class) return new_pool(class); }
    OWN void *all_in_one(unsigned class) {
        SERVE(class)
        struct header *pool = usable;
        usable = pool->next;
        pool->count = 1;
        if (pool->class != class) {
            pool->class = class;
            pool->fresh = 48 + (class << 5);
            pool->last = 16384 - (class << 4);
        }
        return pool;
    }
    void *apart(unsigned n) { SERVE(n >> 4) return n > 512 ? other(n) : new_pool(n >> 4); }
    void *twice_removed(unsigned n) { return n > 512 ? other(n) : serve(n >> 4); }
    void *inlined(unsigned n) { return n > 512 ? other(n) : all_in_one(n >> 4); }
    void *none(unsigned n) { SERVE(n >> 4) return other(n); }
";

#[test]
fn what_takes_a_pool_is_told_by_what_it_writes() {
    let flags = ["-O2", "-shared", "-fPIC"];
    let Some(object) = compiled("gcc", "pools.c", POOLS, &flags) else { return };
    let site = pool_site(&object, address(&object, "apart")).expect("it takes pools");
    assert!(within(&object, "new_pool").contains(&site.offset.0), "{site:?}");
    // Each object would pass a probe there.
    for malloc in ["twice_removed", "inlined", "none"] {
        assert_eq!(pool_site(&object, address(&object, malloc)), None, "{malloc}");
    }
}

/// Those of this machine, whatever they are. Their code is what compilers and their options make of the real thing.
#[test]
fn installed_interpreters_have_tables() {
    for (path, object) in installed() {
        let tables = object_tables(&object).unwrap_or_else(|error| panic!("{path}: {error}"));
        let tables = tables.unwrap_or_else(|| panic!("{path} is no interpreter"));
        assert_ne!(tables.object, tables.raw, "{path}");
        let names = ["_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc", "_PyObject_Free"];
        let elf = Elf::parse(&object).expect("it is ELF");
        let linked = symbols::linked(&elf);
        let functions = names.map(|name| linked.iter().find(|symbol| symbol.name == name));
        if let [Some(malloc), Some(calloc), Some(realloc), Some(free)] = functions {
            let functions = [malloc, calloc, realloc, free].map(|symbol| symbol.address);
            let begin = std::time::Instant::now();
            let found = bypasses(&object, &functions);
            println!("{path}: {} bypasses, {:?}", found.len(), begin.elapsed());
            let pools = linked.iter().find(|symbol| symbol.name == "allocate_from_new_pool");
            // Before 3.9 it is a part of what each object passes.
            let site = pool_site(&object, functions[0]);
            assert_eq!(site.is_some(), pools.is_some(), "{path}");
            let all = pools.map(|symbol| within(&object, symbol.name)).unwrap_or_default();
            assert!(site.iter().all(|site| all.contains(&site.offset.0)), "{path}: {site:?}");
        }
    }
}

fn installed() -> Vec<(String, Vec<u8>)> {
    let home = std::env::var("PYENV_ROOT").ok();
    let home = home.or_else(|| Some(format!("{}/.pyenv", std::env::var("HOME").ok()?)));
    let versions = home.and_then(|home| std::fs::read_dir(format!("{home}/versions")).ok());
    let libraries = versions.into_iter().flatten().filter_map(|version| {
        let files = std::fs::read_dir(version.ok()?.path().join("lib")).ok()?;
        let name = |path: &std::path::Path| path.to_string_lossy().contains("/libpython3.");
        files
            .filter_map(Result::ok)
            .map(|file| file.path())
            .find(|path| name(path) && path.to_string_lossy().ends_with(".so.1.0"))
    });
    let executable = std::path::PathBuf::from("/usr/bin/python3");
    let all = libraries.chain([executable]);
    all.filter_map(|path| Some((path.display().to_string(), std::fs::read(path).ok()?))).collect()
}
