//! Code objects' checksums, remembered by address: for as long as none is freed, an address means the same code object.
//!
//! A probe on the function that frees them counts, before it does. Without one nothing is remembered.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::{helpers::generated::bpf_probe_read_user, macros::map, maps::Array};
use tracer_common::{
    PYTHON_CODE_WORDS, RuleCache, RuleCacheEntry, ThreadState, limits::CACHED_RULES,
    python_checksum,
};

use crate::{atomic, python_frame::CODE_WORDS};

/// A rule's place is a checksum's here.
#[map]
static PYTHON_CODES: Array<RuleCache> = Array::with_max_entries(1, 0);

/// How often code objects were freed; then, from user space, whether that is counted.
#[map]
static PYTHON_FREES: Array<u64> = Array::with_max_entries(2, 0);

/// What remembers checksums.
#[inline(always)]
pub fn cache() -> Option<*mut RuleCache> {
    PYTHON_CODES.get_ptr_mut(0)
}

/// What checksums that are remembered now are good for; 0 where none may be.
#[inline(always)]
pub fn generation() -> u32 {
    let (Some(frees), Some(counted)) = (PYTHON_FREES.get_ptr(0), PYTHON_FREES.get_ptr(1)) else {
        return 0;
    };
    // SAFETY: both point to elements of the map.
    unsafe { if counted.read_volatile() == 0 { 0 } else { frees.read_volatile() as u32 } }
}

/// A code object is about to be freed.
#[inline(always)]
pub fn freed() {
    if let Some(frees) = PYTHON_FREES.get_ptr_mut(0) {
        atomic::add(frees, 1);
    }
}

/// The checksum of a code object, whose words to take it of begin at `address`; 0 where these can't be read.
#[inline(always)]
pub fn checksum(
    thread: *mut ThreadState,
    codes: *mut RuleCache,
    address: u64,
    generation: u32,
) -> u32 {
    // SAFETY: the index is masked.
    let entry = unsafe { codes.cast::<RuleCacheEntry>().add(index(address)) };
    // SAFETY: points into an element of the map; its two words are not written at once, which `check` tells.
    unsafe {
        let value = (&raw const (*entry).value).read_volatile();
        let check = (&raw const (*entry).check).read_volatile();
        let present = value >> 32 == u64::from(generation) && generation != 0;
        if present && check == RuleCacheEntry::check(address, value, 0) {
            return value as u32;
        }
    }
    let checksum = read(thread, address);
    if generation != 0 && checksum != 0 {
        // Not left to `check`, which has no room for all of it.
        let value = u64::from(checksum) | (u64::from(generation) << 32);
        // SAFETY: as above.
        unsafe {
            (&raw mut (*entry).value).write_volatile(value);
            (&raw mut (*entry).check).write_volatile(RuleCacheEntry::check(address, value, 0));
        }
    }
    checksum
}

#[inline(always)]
fn read(thread: *mut ThreadState, address: u64) -> u32 {
    const BYTES: u32 = (PYTHON_CODE_WORDS * size_of::<u64>()) as u32;
    // SAFETY: the window is larger; the helper checks the address that it reads from.
    unsafe {
        let words = (&raw mut (*thread).window).cast::<u64>().add(CODE_WORDS);
        if bpf_probe_read_user(words.cast(), BYTES, address as *const c_void) != 0 {
            return 0;
        }
        python_checksum(&*words.cast::<[u64; PYTHON_CODE_WORDS]>())
    }
}

#[inline(always)]
fn index(address: u64) -> usize {
    const MASK: u64 = CACHED_RULES as u64 - 1;
    let mut index = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    // SAFETY: changes nothing but the operand.
    unsafe { asm!("{0} &= {1}", inout(reg) index, const MASK) };
    index as usize
}
