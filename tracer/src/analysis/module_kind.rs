//! Objects whose code is never what a user looks for, by file name.

/// The dynamic linker, libc with its older satellites, allocators, the C++ runtime and the Python interpreter.
const PREFIXES: [&str; 19] = [
    "libc.so",
    "libc-2.",
    "libc.musl-",
    "ld-linux",
    "ld-musl",
    "ld-2.",
    "ld.so",
    "ld64.so",
    "libpthread.so",
    "libpthread-2.",
    "libdl.so",
    "libdl-2.",
    "libjemalloc",
    "libtcmalloc",
    "libmimalloc",
    "libstdc++",
    "libc++",
    "libpython",
    "libgcc_s",
];

/// Whether the object is an allocator, libc, the C++ runtime or the Python interpreter.
pub(super) fn is_plumbing(module: &str) -> bool {
    let name = file_name(module);
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || is_python(name)
}

/// Whether the object has the Python interpreter's own code.
pub(super) fn is_interpreter(module: &str) -> bool {
    let name = file_name(module);
    name.starts_with("libpython") || is_python(name)
}

fn file_name(module: &str) -> &str {
    let path = module.strip_suffix(" (deleted)").unwrap_or(module);
    path.rsplit('/').next().unwrap_or(path)
}

/// `python`, `python3`, `python3.11`, `python3.13t`, `python3-dbg`.
fn is_python(name: &str) -> bool {
    name.strip_prefix("python").is_some_and(|version| {
        let version = version.trim_end_matches("-dbg").trim_end_matches(['d', 't', 'm']);
        version.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

#[cfg(test)]
mod tests {
    use super::is_plumbing;

    #[test]
    fn system_objects_and_users_objects() {
        for module in [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/x86_64-linux-gnu/libc-2.31.so",
            "/lib64/ld-linux-x86-64.so.2",
            "/lib/ld-musl-x86_64.so.1",
            "/usr/lib/libjemalloc.so.2 (deleted)",
            "/usr/lib/libtcmalloc_minimal.so.4",
            "/usr/lib/libmimalloc.so.2.1",
            "/usr/lib/libstdc++.so.6.0.30",
            "/usr/lib/libc++abi.so.1",
            "/usr/lib/libpython3.11.so.1.0",
            "/usr/bin/python3.11",
            "/opt/py/bin/python3.13t",
        ] {
            assert!(is_plumbing(module), "{module}");
        }
        for module in [
            "/usr/bin/app",
            "/usr/lib/libcurl.so.4",
            "/usr/lib/libcrypto.so.3",
            "/opt/libc/bin/server",
            "/usr/bin/python3-worker",
            "/usr/lib/python3/dist-packages/numpy/core/_multiarray_umath.cpython-311.so",
            "[unknown]",
            "",
        ] {
            assert!(!is_plumbing(module), "{module}");
        }
    }
}
