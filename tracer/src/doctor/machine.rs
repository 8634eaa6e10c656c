//! How this kernel was built and is run.

use std::fs;

use rustix::thread::{MembarrierCommand, membarrier_query};

use super::Finding;

const UPROBE_TYPE: &str = "/sys/bus/event_source/devices/uprobe/type";
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// Does it have probes for user programs?
pub(super) fn uprobes() -> Finding {
    match read(UPROBE_TYPE) {
        Some(number) => Finding::ok("uprobes", format!("event source {number}")),
        None => Finding::bad(
            "uprobes",
            format!("{UPROBE_TYPE} can't be read"),
            "boot a kernel with CONFIG_UPROBE_EVENTS=y, and mount sysfs: mount -t sysfs sysfs /sys",
        ),
    }
}

/// Said because it is the first suspect; with the capabilities that are needed it does not matter.
pub(super) fn paranoid() -> Finding {
    let value = read(PARANOID).unwrap_or_else(|| "absent".to_owned());
    Finding::ok("perf_event_paranoid", format!("{value}; does not matter to a privileged user"))
}

/// Secure boot may lock the kernel against its administrator.
pub(super) fn lockdown() -> Finding {
    let Some(text) = read(LOCKDOWN) else {
        return Finding::ok("lockdown", "this kernel has none, or securityfs is not mounted");
    };
    match chosen(&text) {
        Some("confidentiality") => Finding::warn(
            "lockdown",
            "confidentiality: eBPF programs may be refused; the trial below shows it",
            "boot with lockdown=integrity, or without secure boot",
        ),
        Some(mode) => Finding::ok("lockdown", mode),
        None => Finding::ok("lockdown", text),
    }
}

/// Can we wait for running programs?
pub(super) fn membarrier() -> Finding {
    if membarrier_query().contains_command(MembarrierCommand::Global) {
        return Finding::ok(
            "membarrier",
            "iterations are read as soon as no program works on them",
        );
    }
    // What the kernel side does then is safe in practice, but rests on time.
    Finding::warn(
        "membarrier",
        "not available (CPUs with nohz_full?): 20 ms are waited after each mark instead",
        "boot without nohz_full=",
    )
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `none [integrity] confidentiality`: the word in brackets.
fn chosen(text: &str) -> Option<&str> {
    text.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn the_chosen_one_is_in_brackets() {
        assert_eq!(chosen("none [integrity] confidentiality"), Some("integrity"));
        assert_eq!(chosen("none"), None);
    }
}
