//! Probes behind a semaphore: a counter in the target's data, which its code looks at before it comes to the probe. The
//! kernel raises it while such a probe is set (Linux 4.20), if it is told where the counter is; aya has no way to say so.

use std::{
    ffi::CString,
    fs, io,
    mem::size_of_val,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::Path,
};

use perf_event_open_sys::{
    bindings::{PERF_FLAG_FD_CLOEXEC, perf_event_attr},
    ioctls::{ENABLE, SET_BPF},
    perf_event_open,
};

use crate::units::{FileOffset, Pid};

/// The kernel's number for uprobes.
const KIND: &str = "/sys/bus/event_source/devices/uprobe/type";

/// A semaphore's file offset lies in the upper half of a word of 64 bits.
const SEMAPHORE_SHIFT: u32 = 32;

/// Sets a probe, and raises its semaphore for as long as what this gives is kept.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    path: &Path,
    pid: Pid,
    offset: FileOffset,
    semaphore: FileOffset,
) -> io::Result<OwnedFd> {
    let semaphore = u32::try_from(semaphore.0).map_err(io::Error::other)?;
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    let mut attributes = perf_event_attr::default();
    attributes.size = size_of_val(&attributes) as u32;
    attributes.type_ = fs::read_to_string(KIND)?.trim().parse().map_err(io::Error::other)?;
    attributes.config = u64::from(semaphore) << SEMAPHORE_SHIFT;
    attributes.__bindgen_anon_3.config1 = path.as_ptr() as u64;
    attributes.__bindgen_anon_4.config2 = offset.0;
    let pid = pid.0.cast_signed();
    // SAFETY: `attributes` is of the size that it says, and `path` outlives the call.
    let fd =
        unsafe { perf_event_open(&raw mut attributes, pid, -1, -1, PERF_FLAG_FD_CLOEXEC.into()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made the descriptor, and nobody else knows it.
    let event = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: both are descriptors of the kinds that these requests are for.
    let refused = unsafe {
        SET_BPF(event.as_raw_fd(), program.as_raw_fd().cast_unsigned()) < 0
            || ENABLE(event.as_raw_fd(), 0) < 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(event) }
}
