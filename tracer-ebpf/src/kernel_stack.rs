//! The stack as `bpf_get_stack` gives it, by frame pointers: what other tools have, for the bench to compare with.

use aya_ebpf::{bindings::BPF_F_USER_STACK, helpers::bpf_get_stack};
use tracer_common::{FrameWord, Space, StackHash, StackId, ThreadState, UnwindStatus};

use crate::calls::Returned;

/// What the kernel gives by default (`kernel.perf_event_max_stack`).
const MOST: usize = 127;

/// The stack of the call that just returned; the innermost frame is its return address.
#[inline(always)]
pub fn capture(call: &Returned, space: Space, thread: *mut ThreadState) -> StackId {
    let bytes = (MOST * size_of::<u64>()) as u32;
    // The low byte skips the innermost frame, which is the probe's.
    let flags = u64::from(BPF_F_USER_STACK) | 1;
    // SAFETY: `thread` points to a map value that belongs to this thread alone, with room for more frames.
    unsafe {
        let frames = (&raw mut (*thread).stack.frames).cast::<u64>();
        let walked = bpf_get_stack(call.regs.cast(), frames.add(1).cast(), bytes, flags);
        let len = if walked > 0 { walked as usize / size_of::<u64>() } else { 0 };
        let mut hash = StackHash::new(space);
        for number in 0..=MOST {
            if number > len {
                break;
            }
            let frame = frames.add(number);
            let address = if number == 0 { call.ip } else { frame.read() };
            let word = FrameWord::bare(address, 0).0;
            frame.write(word);
            hash = hash.with(word);
        }
        (*thread).stack.len = len as u32 + 1;
        (*thread).stack.status = UnwindStatus::FramePointers as u32;
        hash.finish(UnwindStatus::FramePointers as u32)
    }
}
