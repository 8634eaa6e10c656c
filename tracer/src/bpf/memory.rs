//! What the maps cost, as the kernel accounts for it.

use std::{collections::BTreeMap, fs};

use aya::maps::MapInfo;

/// One map of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapMemory {
    /// Its name in the object, as far as the kernel keeps it (15 bytes).
    pub name: String,
    /// `BPF_MAP_TYPE_…`.
    pub kind: u32,
    /// `BPF_F_…`.
    pub flags: u32,
    /// Bytes of a key.
    pub key_size: u64,
    /// Bytes of a value.
    pub value_size: u64,
    /// Entries; for a ring buffer, bytes.
    pub max_entries: u64,
    /// Bytes that it occupies now. Since Linux 6.4 without the slab's rounding, before as if it were full.
    pub locked: u64,
}

/// The maps that this process holds open, by name.
pub fn map_memory() -> Vec<MapMemory> {
    let entries = fs::read_dir("/proc/self/fdinfo").into_iter().flatten().flatten();
    // By id: a map may be open more than once.
    let maps: BTreeMap<u32, MapMemory> = entries
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| parse(&text))
        .collect();
    let named = maps.into_iter().map(|(id, map)| {
        let info = MapInfo::from_id(id).ok();
        let name = info.and_then(|info| info.name_as_str().map(str::to_owned));
        MapMemory { name: name.unwrap_or_default(), ..map }
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|a, b| a.name.cmp(&b.name));
    named
}

/// What all of them occupy now, in bytes.
pub fn locked_by_maps() -> u64 {
    map_memory().iter().map(|map| map.locked).sum()
}

/// Reads what `bpf_map_show_fdinfo` wrote; `None` for other kinds of descriptors.
fn parse(text: &str) -> Option<(u32, MapMemory)> {
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let line = line.trim();
        match line.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok(),
            None => line.parse().ok(),
        }
    };
    let map = MapMemory {
        name: String::new(),
        kind: value("map_type")? as u32,
        flags: value("map_flags")? as u32,
        key_size: value("key_size")?,
        value_size: value("value_size")?,
        max_entries: value("max_entries")?,
        locked: value("memlock")?,
    };
    Some((value("map_id")? as u32, map))
}

#[cfg(test)]
mod tests {
    use super::{MapMemory, parse};

    #[test]
    fn a_map_is_told_from_other_descriptors() {
        let text = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t2057\nmap_type:\t1\nkey_size:\t8\n\
                    value_size:\t24\nmax_entries:\t1000000\nmap_flags:\t0x1\nmap_extra:\t0x0\n\
                    memlock:\t16777536\nmap_id:\t47\nfrozen:\t0\n";
        let map = MapMemory {
            name: String::new(),
            kind: 1,
            flags: 1,
            key_size: 8,
            value_size: 24,
            max_entries: 1_000_000,
            locked: 16_777_536,
        };
        assert_eq!(parse(text), Some((47, map)));
        assert_eq!(parse("pos:\t0\nprog_type:\t2\nmemlock:\t4096\nprog_id:\t9\n"), None);
    }
}
