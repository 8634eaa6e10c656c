//! What this version of the kernel can and can't.

use std::path::Path;

use super::Finding;
use crate::release::KernelRelease;

const BTF: &str = "/sys/kernel/btf/vmlinux";

/// Old enough?
pub(super) fn release(release: &KernelRelease) -> Finding {
    if release.is_too_old() {
        return Finding::bad("kernel", format!("Linux {release}"), "update to Linux 5.15 or newer");
    }
    Finding::ok("kernel", format!("Linux {release}; 5.15 is the oldest that will do"))
}

/// The kernels that kill what they should trace.
pub(super) fn seccomp(release: &KernelRelease) -> Finding {
    if release.seccomp_kills_return_probes() {
        let detail = "this kernel kills a probed process that has a seccomp filter; memtrace refuses such \
                      targets, but one may set its filter later";
        return Finding::warn("seccomp", detail, "update to Linux 6.12.14, 6.13.3 or 6.14");
    }
    Finding::ok("seccomp", "filters of the target do not matter on this kernel")
}

/// Said because other tools need it.
pub(super) fn btf() -> Finding {
    let present = if Path::new(BTF).exists() { "present" } else { "absent" };
    Finding::ok("BTF of the kernel", format!("{present}; not needed"))
}
