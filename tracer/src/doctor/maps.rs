//! What the kernel side's maps cost in memory: now, per block, and at most.

use std::fs;

use bytesize::ByteSize;
use tracer_common::{names, unwind::Row};

use super::{DoctorConfig, Finding, trial};
use crate::bpf::{Kernel, MapMemory, map_memory};

/// `BPF_MAP_TYPE_…` and `BPF_F_NO_PREALLOC` (`linux/bpf.h`).
const HASH: u32 = 1;
const ARRAY: u32 = 2;
const PER_CPU_ARRAY: u32 = 6;
const ARRAY_OF_MAPS: u32 = 12;
const RING: u32 = 27;
const NO_PREALLOC: u32 = 1;

/// `struct bucket` and `struct htab_elem` without key and value (`kernel/bpf/hashtab.c`), and the link that
/// the eBPF allocator puts before each element.
const BUCKET: u64 = 16;
const ELEMENT: u64 = 48;
const LINK: u64 = 8;
/// Free elements that the eBPF allocator keeps per CPU, up to 256 bytes each; of larger ones, as many bytes.
const SPARE: u64 = 96;
const SPARE_SIZE: u64 = 256;

/// In a table there is little else.
const ROW_BYTES: usize = size_of::<Row>();

/// A machine larger than most, to show what grows with the CPUs.
const MANY_CPUS: u64 = 128;

/// The findings about memory, for the given capacities.
pub(super) fn section(config: DoctorConfig) -> (String, Vec<Finding>) {
    let heading = format!(
        "Memory of the kernel side, with --max-live {} and --max-stacks {}",
        config.max_live, config.max_stacks
    );
    let settings = trial::settings(config.max_live, config.max_stacks);
    let finding = match Kernel::load(settings) {
        Ok(_kernel) => memory(&map_memory(), possible_cpus(), available()),
        Err(_) => Finding::warn("maps", "not known: they can't be loaded", "sudo memtrace doctor"),
    };
    (heading, vec![finding])
}

fn memory(maps: &[MapMemory], cpus: u64, available: Option<u64>) -> Finding {
    let now = maps.iter().map(|map| map.locked).sum();
    let most = most(maps, cpus);
    let element = |name: &str| {
        let map = maps.iter().find(|map| map.name == name);
        map.map_or_else(|| "not known".to_owned(), |map| bytes(element(map)))
    };
    let detail = format!(
        "{} now; at most {} here ({cpus} CPUs), {} with {MANY_CPUS} CPUs\n\
         per live block {}\n\
         per stack {}, and {} while an iteration that it appears in is not read\n\
         per thread that has allocated {}\n\
         unwind tables come on top, {ROW_BYTES} B a row: `memtrace doctor --pid` tells how many",
        bytes(now),
        bytes(most),
        bytes(self::most(maps, MANY_CPUS)),
        element(names::LIVE),
        element(names::KNOWN),
        element(names::ROWS),
        element(names::THREADS),
    );
    match available {
        Some(available) if most > available / 2 => {
            let fitting = fitting(maps, cpus, available / 2);
            let detail = format!("{detail}\nonly {} of memory are available", bytes(available));
            Finding::warn("maps", detail, format!("lower the limit: --max-live {fitting}"))
        }
        _ => Finding::ok("maps", detail),
    }
}

/// The bytes of all maps when every one is full.
fn most(maps: &[MapMemory], cpus: u64) -> u64 {
    maps.iter().map(|map| full(map, cpus)).sum()
}

fn full(map: &MapMemory, cpus: u64) -> u64 {
    let value = map.value_size.next_multiple_of(8);
    match map.kind {
        HASH => {
            let spare = match element(map) {
                0..=SPARE_SIZE => SPARE * element(map),
                _ => SPARE * SPARE_SIZE,
            };
            let spare = if is_filled_on_demand(map) { spare * cpus } else { 0 };
            BUCKET * map.max_entries.next_power_of_two() + map.max_entries * element(map) + spare
        }
        // Of an array of maps, the pointers to them.
        ARRAY | ARRAY_OF_MAPS => value * map.max_entries,
        PER_CPU_ARRAY => value * map.max_entries * cpus,
        RING => map.max_entries,
        _ => map.locked,
    }
}

/// Bytes of one entry of a hash map, as the slab hands them out.
fn element(map: &MapMemory) -> u64 {
    let size = ELEMENT + map.key_size.next_multiple_of(8) + map.value_size.next_multiple_of(8);
    if is_filled_on_demand(map) { slab(size + LINK) } else { size }
}

fn is_filled_on_demand(map: &MapMemory) -> bool {
    map.flags & NO_PREALLOC != 0
}

/// The sizes that `kmalloc` has: powers of two, and 96 and 192.
fn slab(size: u64) -> u64 {
    match size {
        65..=96 => 96,
        129..=192 => 192,
        _ => size.next_power_of_two(),
    }
}

/// A capacity of the live set with which the maps stay below `room`, whatever a power of two rounds it to.
fn fitting(maps: &[MapMemory], cpus: u64, room: u64) -> u64 {
    let Some(live) = maps.iter().find(|map| map.name == names::LIVE) else { return 1 };
    let empty = MapMemory { max_entries: 0, ..live.clone() };
    let others = most(maps, cpus) - full(live, cpus) + full(&empty, cpus);
    (room.saturating_sub(others) / (element(live) + 2 * BUCKET)).max(1)
}

fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// The kernel allocates per CPU that may ever be there, not per CPU that is.
fn possible_cpus() -> u64 {
    let list = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    count(&list).unwrap_or(1)
}

/// How many CPUs a list such as `0-3,8` names.
fn count(list: &str) -> Option<u64> {
    let ranges = list.trim().split(',').map(|range| {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let beyond = high.parse::<u64>().ok()? + 1;
        beyond.checked_sub(low.parse().ok()?)
    });
    ranges.sum()
}

/// `MemAvailable`, in bytes.
fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::State;

    fn map(name: &str, kind: u32, key: u64, value: u64, max_entries: u64) -> MapMemory {
        let flags = u32::from(kind == HASH);
        MapMemory {
            name: name.to_owned(),
            kind,
            flags,
            key_size: key,
            value_size: value,
            max_entries,
            locked: 0,
        }
    }

    #[test]
    fn a_live_block_costs_96_bytes_and_the_table_16_a_bucket() {
        let live = map("LIVE", HASH, 8, 24, 1_000_000);
        assert_eq!(element(&live), 96);
        assert_eq!(full(&live, 1) - full(&live, 0), 96 * 96);
        assert_eq!(full(&live, 0), 16 * 1_048_576 + 96 * 1_000_000);
    }

    #[test]
    fn only_what_is_per_cpu_grows_with_the_cpus() {
        let maps = [map("STATE", ARRAY, 4, 32, 1), map("EVENTS", RING, 0, 0, 1 << 20)];
        assert_eq!(most(&maps, 2), most(&maps, 128));
        assert_eq!(full(&map("TALLY", PER_CPU_ARRAY, 4, 112, 1), 128), 112 * 128);
    }

    #[test]
    fn too_little_memory_is_a_warning_with_a_limit_that_fits() {
        let maps = [map("LIVE", HASH, 8, 24, 1_000_000)];
        let finding = memory(&maps, 2, Some(100 << 20));
        assert_eq!(finding.state, State::Warn);
        let remedy = finding.remedy.unwrap_or_default();
        let limit: u64 = remedy.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert!(full(&map("LIVE", HASH, 8, 24, limit), 2) <= 50 << 20, "{remedy}");
        assert_eq!(memory(&maps, 2, Some(16 << 30)).state, State::Ok);
    }

    #[test]
    fn sizes_and_lists_are_read_as_the_kernel_means_them() {
        assert_eq!([88, 112, 130, 1160].map(slab), [96, 128, 192, 2048]);
        assert_eq!(count("0-1\n"), Some(2));
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count(""), None);
    }
}
