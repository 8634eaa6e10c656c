//! What memtrace may do.

use std::fs;

use super::Finding;

/// What is needed, by its bit (`linux/capability.h`), and for what.
const NEEDED: [(&str, u32, &str); 2] = [
    ("CAP_SYS_ADMIN", 21, "to set probes and load eBPF programs"),
    ("CAP_SYS_PTRACE", 19, "to look into other users' processes"),
];

const AS_ROOT: &str = "run it as root: sudo memtrace doctor";

/// Root of the machine, or of a container only?
pub(super) fn user() -> Finding {
    let uid = rustix::process::geteuid().as_raw();
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if is_whole(&map) {
        return Finding::ok("user", format!("uid {uid}"));
    }
    let detail = format!("uid {uid} of a user namespace, whose privileges eBPF does not accept");
    Finding::bad(
        "user",
        detail,
        "run memtrace outside the container, or start that with --privileged",
    )
}

/// Whether we have what is needed.
pub(super) fn capabilities() -> Finding {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    let effective = status.map_or(0, |status| status.capeff);
    let lacks: Vec<_> =
        NEEDED.into_iter().filter(|(_, bit, _)| effective & (1 << bit) == 0).collect();
    if lacks.is_empty() {
        return Finding::ok("capabilities", NEEDED.map(|(name, ..)| name).join(", "));
    }
    let lacks: Vec<_> =
        lacks.iter().map(|(name, _, why)| format!("no {name}, needed {why}")).collect();
    Finding::bad("capabilities", lacks.join("; "), AS_ROOT)
}

/// Whether `/proc` numbers processes as system calls do.
pub(super) fn proc() -> Finding {
    if crate::target::own_proc() {
        return Finding::ok("/proc", "of this pid namespace");
    }
    Finding::bad(
        "/proc",
        "of another pid namespace",
        "unshare --mount-proc, or run memtrace outside the namespace",
    )
}

/// Whether a `uid_map` leaves nobody out: that of the initial user namespace.
fn is_whole(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn only_the_initial_user_namespace_is_whole() {
        assert!(is_whole("         0          0 4294967295\n"));
        assert!(!is_whole("         0       1000          1\n"));
    }
}
