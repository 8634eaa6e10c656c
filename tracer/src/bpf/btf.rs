//! Where the kernel keeps what, by its own description (BTF): the one place in a task that no helper gives.
//!
//! The kernel documents the format in `Documentation/bpf/btf.rst`. Crates that read it either don't give members or
//! are under a licence that this program can't take in.

use std::{fs, path::Path, sync::OnceLock};

/// The running kernel's.
const KERNEL: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
/// Bytes before the members of a type.
const HEAD: usize = 12;
const MEMBER: usize = 12;

/// Where the kernel keeps a thread's thread pointer (`fs`), in bytes from its `task_struct`; `None` where it
/// doesn't say. Asked once.
pub(super) fn thread_pointer() -> Option<u64> {
    static OFFSET: OnceLock<Option<u64>> = OnceLock::new();
    *OFFSET.get_or_init(|| thread_pointer_in(&fs::read(Path::new(KERNEL)).ok()?))
}

fn thread_pointer_in(btf: &[u8]) -> Option<u64> {
    let btf = Btf::parse(btf)?;
    let thread = btf.member("task_struct", "thread")?;
    Some(thread + btf.member("thread_struct", "fsbase")?)
}

/// A description: its types one after the other, and their names.
struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(*bytes.first_chunk()?);
        if magic != MAGIC {
            return None;
        }
        let body = bytes.get(u32_at(bytes, 4)? as usize..)?;
        let part = |from: usize| {
            let (start, len) = (u32_at(bytes, from)? as usize, u32_at(bytes, from + 4)? as usize);
            body.get(start..)?.get(..len)
        };
        Some(Self { types: part(8)?, strings: part(16)? })
    }

    /// The byte at which a member of a structure begins.
    fn member(&self, structure: &str, member: &str) -> Option<u64> {
        let mut rest = self.types;
        while !rest.is_empty() {
            let (name, info) = (u32_at(rest, 0)?, u32_at(rest, 4)?);
            let (kind, len) = ((info >> 24) & 0x1f, (info & 0xffff) as usize);
            let body = rest.get(HEAD..)?.get(..bytes_after_head(kind, len)?)?;
            if kind == STRUCT && self.is_named(name, structure) {
                // The flag says that the upper byte is the size of a bit field.
                let bits_mask = if info >> 31 == 0 { u32::MAX } else { 0x00ff_ffff };
                let mut members = body.chunks_exact(MEMBER);
                let found = members
                    .find(|it| u32_at(it, 0).is_some_and(|name| self.is_named(name, member)));
                if let Some(found) = found {
                    return Some(u64::from((u32_at(found, 8)? & bits_mask) / 8));
                }
            }
            rest = &rest[HEAD + body.len()..];
        }
        None
    }

    fn is_named(&self, name: u32, expected: &str) -> bool {
        let name = self.strings.get(name as usize..).unwrap_or_default();
        name.strip_prefix(expected.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// What follows a type's head, by `BTF_KIND_…`; `None` for a kind that came later, whose length is not known.
fn bytes_after_head(kind: u32, len: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,           // an integer, a variable, a tag of a declaration
        3 => 12,                    // an array
        STRUCT | 5 => len * MEMBER, // a structure, a union
        6 | 13 => len * 8,          // an enumeration, a function's parameters
        15 | 19 => len * 12,        // a section, an enumeration of 64 bits
        2 | 7..=12 | 16 | 18 => 0,  // a pointer, a name for another type and the like
        _ => return None,
    })
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names: 1 `task_struct`, 13 `thread`, 20 `thread_struct`, 34 `fsbase`.
    const STRINGS: &[u8] = b"\0task_struct\0thread\0thread_struct\0fsbase\0";

    fn btf(types: &[u32]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, types.len() as u32, types.len() as u32, STRINGS.len() as u32] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(types);
        bytes.extend(STRINGS);
        bytes
    }

    #[test]
    fn members_are_found_behind_types_of_every_length() {
        let int = [13, 1 << 24, 8, 0];
        let pointer = [0, 2 << 24, 1];
        let task = [1, (4 << 24) | 2, 16, 0, 1, 0, 13, 3, 64];
        // With the flag, of a bit field of 32 bits.
        let thread = [20, (1 << 31) | (4 << 24) | 1, 8, 34, 1, (32 << 24) + 320];
        let types: Vec<u32> = [&int[..], &pointer, &task, &thread].concat();
        assert_eq!(thread_pointer_in(&btf(&types)), Some(8 + 40));
        assert_eq!(thread_pointer_in(&btf(&[&int[..], &task].concat())), None, "no such structure");
        assert_eq!(thread_pointer_in(&btf(&[0, 31 << 24, 0])), None, "of an unknown kind");
    }

    #[test]
    fn what_is_no_description_is_none() {
        let whole = btf(&[1, (4 << 24) | 1, 8, 13, 3, 64]);
        for len in 0..whole.len() {
            assert_eq!(thread_pointer_in(&whole[..len]), None);
        }
        assert_eq!(thread_pointer_in(b"something else"), None);
    }

    #[test]
    fn this_kernel_says_where() {
        if !Path::new(KERNEL).exists() {
            println!("skipped: the kernel has no {KERNEL}");
            return;
        }
        let offset = thread_pointer().expect("it says so");
        assert!(offset.is_multiple_of(8) && (8..1 << 16).contains(&offset), "{offset}");
    }
}
