//! What the controller says of the target's code: where it lies, and the rules that unwind it.
//!
//! All searches are in values already at hand: three look-ups of a map per frame at most, none where the rule is
//! remembered. They are written for the verifier: each index is masked right before it is used, where LLVM, which
//! knows the range as well, would drop the mask; and hidden after each step, or else the verifier would follow
//! every path through the search (docs/decisions/0003-walk.md).

use core::arch::asm;

use aya_ebpf::{
    btf_maps::{self, ArrayOfMaps},
    macros::{btf_map, map},
    maps::Array,
};
use tracer_common::{
    CODE_MAPS, CodeMap, CodeSpan, MAX_SPANS, RuleCache, RuleCacheEntry, Space, SpanKind,
    limits::{CACHED_RULES, MAX_TABLES},
    unwind::{Escape, LEAF_ROWS, NODE_BYTES, NODE_ESCAPES, Node, ROOT_KEYS, Row, Rule},
};

use crate::control;

#[map]
static CODE: Array<CodeMap> = Array::with_max_entries(CODE_MAPS, 0);

/// `BPF_F_INNER_MAP`: inner maps may differ in size.
const ANY_SIZE: usize = 1 << 12;

/// A [`Node`], but no struct: up to 6.1 the kernel compares an inner map's `timer_off` with its template's, and that
/// differs between a map whose value is said to be a struct and one of which nothing is said, as user space adds them
/// (`bpf_map_meta_equal` in `kernel/bpf/map_in_map.c`, `btf_find_field` in `kernel/bpf/btf.c`).
type NodeWords = [u64; NODE_BYTES / size_of::<u64>()];

/// The last element is for user space to wait with.
#[btf_map]
static TABLES: ArrayOfMaps<btf_maps::Array<NodeWords, 1, ANY_SIZE>, { MAX_TABLES as usize + 1 }> =
    ArrayOfMaps::new();

#[map]
static RULES: Array<RuleCache> = Array::with_max_entries(1, 0);

/// Which code map is in use, if it is of this address space.
#[inline(always)]
pub fn code_number(space: Space) -> Option<u32> {
    let number = control::code_map() & (CODE_MAPS - 1);
    let code = numbered_code(number)?;
    // SAFETY: points to an element of the map. While it is in use the controller doesn't write it.
    (unsafe { (*code).space } == space).then_some(number)
}

/// A code map by its number.
#[inline(always)]
pub fn numbered_code(number: u32) -> Option<*const CodeMap> {
    CODE.get_ptr(number)
}

/// The generation of the code map in use, if that is of this address space.
#[inline(always)]
pub fn generation(space: Space) -> Option<u32> {
    let code = numbered_code(code_number(space)?)?;
    // SAFETY: as above.
    Some(unsafe { (*code).generation })
}

/// What remembers rules.
#[inline(always)]
pub fn rules() -> Option<*mut RuleCache> {
    RULES.get_ptr_mut(0)
}

/// A rule, and the span that it is for.
#[derive(Clone, Copy)]
pub struct Found {
    pub rule: Rule,
    /// Number of the span; below [`MAX_SPANS`].
    pub span: u64,
}

/// The rule for `pc`, if it is remembered.
#[inline(always)]
pub fn remembered(rules: *const RuleCache, generation: u32, pc: u64) -> Option<Found> {
    // SAFETY: the index is masked.
    let (value, check) = unsafe {
        let entry = rules.cast::<RuleCacheEntry>().add(cache_index(pc));
        ((&raw const (*entry).value).read_volatile(), (&raw const (*entry).check).read_volatile())
    };
    let found = Found { rule: Rule(value as u32), span: value >> 32 };
    (check == RuleCacheEntry::check(pc, value, generation)).then_some(found)
}

/// Remembers a rule.
#[inline(always)]
pub fn remember(rules: *mut RuleCache, generation: u32, pc: u64, found: Found) {
    let value = u64::from(found.rule.0) | (found.span << 32);
    // SAFETY: the index is masked.
    unsafe {
        let entry = rules.cast::<RuleCacheEntry>().add(cache_index(pc));
        (&raw mut (*entry).value).write_volatile(value);
        (&raw mut (*entry).check).write_volatile(RuleCacheEntry::check(pc, value, generation));
    }
}

#[inline(always)]
fn cache_index(pc: u64) -> usize {
    const MASK: u64 = CACHED_RULES as u64 - 1;
    let mut index = pc.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK) };
    index as usize
}

/// The number of the span that has `pc`.
#[inline(always)]
pub fn find_span(code: *const CodeMap, pc: u64, zero: u64) -> Option<u64> {
    // SAFETY: `code` points to a map's element.
    let starts = unsafe { (&raw const (*code).starts).cast::<u64>() };
    let mut index = 0;
    let mut width = MAX_SPANS as u64;
    while width > 1 {
        width /= 2;
        // SAFETY: the index is masked.
        let start = unsafe { starts.add(span_index(index + width)).read_volatile() };
        if start <= pc {
            index += width;
        }
        index = hide(index, zero);
    }
    // SAFETY: as above.
    let start = unsafe { starts.add(span_index(index)).read_volatile() };
    let end = span(code, index).end;
    (start <= pc && pc < end).then_some(index)
}

/// The span with a number.
#[inline(always)]
pub fn span<'a>(code: *const CodeMap, number: u64) -> &'a CodeSpan {
    // SAFETY: `code` points to a map's element, and the index is masked.
    unsafe { &*(&raw const (*code).spans).cast::<CodeSpan>().add(span_index(number)) }
}

#[inline(always)]
fn span_index(mut index: u64) -> usize {
    const MASK: u64 = MAX_SPANS as u64 - 1;
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK) };
    index as usize
}

/// The rule for `pc` in its span's table.
#[inline(always)]
pub fn find_rule(span: &CodeSpan, pc: u64, zero: u64) -> Rule {
    if span.kind != SpanKind::Table as u32 {
        return Rule::NONE;
    }
    let pc = pc.wrapping_sub(span.origin);
    let Some(root) = node(span, 0) else { return Rule::NONE };
    let keys = root.cast::<u32>();
    let mut leaf = 0;
    let mut width = ROOT_KEYS as u64;
    while width > 1 {
        width /= 2;
        // SAFETY: the index is masked.
        let first = unsafe { keys.add(root_index(leaf + width)).read_volatile() };
        if u64::from(first) <= pc {
            leaf += width;
        }
        leaf = hide(leaf, zero);
    }
    let Some(rows) = node(span, leaf as u32 + 1) else { return Rule::NONE };
    let rows = rows.cast::<Row>();
    let mut row = 0;
    let mut width = LEAF_ROWS as u64;
    while width > 1 {
        width /= 2;
        // SAFETY: as above.
        let first = unsafe { (&raw const (*rows.add(row_index(row + width))).pc).read_volatile() };
        if u64::from(first) <= pc {
            row += width;
        }
        row = hide(row, zero);
    }
    // SAFETY: as above.
    let row = unsafe { rows.add(row_index(row)).read_volatile() };
    if u64::from(row.pc) <= pc { row.rule } else { Rule::NONE }
}

/// What an escape rule stands for.
#[inline(always)]
pub fn escape(span: &CodeSpan, number: u32) -> Option<Escape> {
    const MASK: u64 = NODE_ESCAPES as u64 - 1;
    let escapes = node(span, 1 + span.leaves + number / NODE_ESCAPES as u32)?;
    let mut index = u64::from(number);
    // SAFETY: changes nothing but the operand; then, the index is masked.
    unsafe {
        asm!("{0} &= {1}", inout(reg) index, const MASK);
        Some(escapes.cast::<Escape>().add(index as usize).read_volatile())
    }
}

#[inline(always)]
fn node(span: &CodeSpan, number: u32) -> Option<*const Node> {
    let words = TABLES.get_value(span.table, &span.root.wrapping_add(number))?;
    Some(core::ptr::from_ref(words).cast())
}

#[inline(always)]
fn root_index(mut index: u64) -> usize {
    const MASK: u64 = ROOT_KEYS as u64 - 1;
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK) };
    index as usize
}

#[inline(always)]
fn row_index(mut index: u64) -> usize {
    const MASK: u64 = LEAF_ROWS as u64 - 1;
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK) };
    index as usize
}

/// The same value, but unknown to the verifier. `zero` is 0.
#[inline(always)]
pub fn hide(mut value: u64, zero: u64) -> u64 {
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} ^= {1}", inout(reg) value, in(reg) zero) };
    value
}
