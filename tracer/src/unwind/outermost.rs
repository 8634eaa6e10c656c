//! Outermost functions of which no call frame information says that they are.
//!
//! They would leave every stack of the program incomplete. What is marked here can have no caller: the program's entry
//! point, which the kernel jumps to; the place in musl's `clone` that calls a thread's function and ends the thread
//! after it; and the function that a greenlet begins in.

use std::ops::Range;

use super::entries::{Entry, Source};
use crate::{
    sites::{
        elf::{ENDIAN, Elf},
        symbols,
    },
    units::ElfAddr,
};
use object::read::elf::FileHeader;

/// Bytes of an entry point's code, at most. glibc's takes 38, musl's 22.
const MAX_ENTRY: u64 = 64;
/// How an entry point's code starts, after an optional `endbr64`: by setting `ebp` or `rbp` to zero, as the ABI
/// advises. Where nothing is known of the code but where it starts, this shows that it is no ordinary function:
/// of a library, linkers set the entry point to whatever comes first.
const ENTRY_STARTS: [&[u8]; 4] =
    [b"\x31\xed", b"\x48\x31\xed", b"\xf3\x0f\x1e\xfa\x31\xed", b"\xf3\x0f\x1e\xfa\x48\x31\xed"];
/// How glibc's dynamic linker starts: with the stack pointer as an argument to a call. No function that was called
/// begins so: the stack is not aligned for a call there. `_dl_start_user` follows, which runs constructors.
const LINKER_STARTS: &[u8] = b"\x48\x89\xe7\xe8";
/// musl's `__clone`, in the new thread: call *%r9; mov %eax,%edi; xor %eax,%eax; mov $60,%al (exit); syscall.
const MUSL_CLONE: &[u8] = b"\x41\xff\xd1\x89\xc7\x31\xc0\xb0\x3c\x0f\x05";

/// Where a greenlet's own stack begins, `greenlet::UserGreenlet::inner_bootstrap`, as mangled names start.
///
/// A greenlet runs on the thread's stack, and what it has there is copied away when another one's turn comes. That
/// reaches up to here: the callers' frames are those of whoever started the greenlet, which has gone on since, so
/// that any word may be where the return address was. The function never returns: at its end it switches to another
/// greenlet (`TUserGreenlet.cpp` of greenlet 3.5.6; 2.0.2 has it, too). It has call frame information as any function.
pub(super) const GREENLET: &str = "_ZN8greenlet12UserGreenlet15inner_bootstrapE";

/// Adds what is outermost to `entries`, where these leave a gap in the code in `executable`, and marks those that are
/// outermost despite their information.
pub(super) fn add(elf: &Elf<'_>, executable: &[Range<u64>], entries: &mut Vec<Entry>) {
    let mut found: Vec<Range<u64>> = Vec::new();
    for gap in gaps(executable, entries) {
        let Some(code) = code(elf, &gap) else { continue };
        found.extend(entry_point(elf, &gap, code));
        found.extend(clones(&gap, code));
    }
    if !found.is_empty() {
        entries.extend(found.into_iter().map(|code| Entry { code, source: Source::Outermost }));
        entries.sort_by_key(|entry| entry.code.start);
    }
    for start in greenlets(elf) {
        if let Ok(at) = entries.binary_search_by_key(&start.0, |entry| entry.code.start) {
            entries[at].source = Source::Outermost;
        }
    }
}

/// Code without an entry.
fn gaps(executable: &[Range<u64>], entries: &[Entry]) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    for segment in executable {
        let first = entries.partition_point(|entry| entry.code.end <= segment.start);
        let mut from = segment.start;
        for entry in entries[first..].iter().take_while(|entry| entry.code.start < segment.end) {
            if from < entry.code.start {
                gaps.push(from..entry.code.start);
            }
            from = entry.code.end;
        }
        if from < segment.end {
            gaps.push(from..segment.end);
        }
    }
    gaps
}

/// What the file holds of a gap.
fn code<'data>(elf: &Elf<'data>, gap: &Range<u64>) -> Option<&'data [u8]> {
    let bytes = elf.bytes_from(ElfAddr(gap.start))?;
    let len = usize::try_from(gap.end - gap.start).ok()?;
    Some(&bytes[..len.min(bytes.len())])
}

fn entry_point(elf: &Elf<'_>, gap: &Range<u64>, code: &[u8]) -> Option<Range<u64>> {
    let start = elf.header.e_entry(ENDIAN);
    let at = usize::try_from(start.checked_sub(gap.start)?).ok()?;
    let code = code.get(at..)?;
    if code.starts_with(LINKER_STARTS) {
        return Some(start..start + MAX_ENTRY.min(code.len() as u64));
    }
    if !ENTRY_STARTS.iter().any(|it| code.starts_with(it)) {
        return None;
    }
    let len = MAX_ENTRY.min(code.len() as u64);
    let mut functions = symbols::linked(elf);
    functions.extend(symbols::exported(elf));
    let sized = functions.iter().find(|it| it.address.0 == start && it.size > 0);
    let next = functions.iter().map(|it| it.address.0).filter(|it| *it > start).min();
    let end = sized.map(|it| it.size).or(next.map(|next| next - start)).unwrap_or(len);
    Some(start..start + end.min(len))
}

fn clones<'a>(gap: &'a Range<u64>, code: &'a [u8]) -> impl Iterator<Item = Range<u64>> + 'a {
    code.windows(MUSL_CLONE.len()).enumerate().filter(|(_, it)| *it == MUSL_CLONE).map(
        |(at, it)| {
            let start = gap.start + at as u64;
            start..start + it.len() as u64
        },
    )
}

/// Where [`GREENLET`] starts, and the part of it that the compiler has put apart, if the object is greenlet's and
/// names that.
fn greenlets(elf: &Elf<'_>) -> Vec<ElfAddr> {
    let is_ours = |it: &symbols::Symbol<'_>| it.name.starts_with(GREENLET);
    // Not only in `.symtab`, which distributions strip.
    let exported = symbols::exported(elf).into_iter().filter(is_ours);
    let mut found: Vec<_> = exported.map(|it| it.address).collect();
    if !found.is_empty() {
        found.extend(symbols::linked(elf).into_iter().filter(is_ours).map(|it| it.address));
    }
    found
}
