//! Capacities. What a limit cuts off is counted, never dropped in silence.

/// Frames kept of a stack, innermost first. `bpf_get_stack` gives no more than
/// `kernel.perf_event_max_stack`, which is 127 unless somebody raised it.
pub const MAX_FRAMES: usize = 127;

/// Words of the target's stack that are copied at a time, to walk it in the copy. A power of two.
pub const WINDOW_WORDS: usize = 128;

/// Allocation shims (`operator new`, `strdup` …) that may lie between a caller and `malloc`.
pub const MAX_SHIM_STEPS: usize = 4;

/// Shim return addresses known per process.
pub const MAX_SHIMS: u32 = 4096;

/// Objects with an allocator whose own frees are told apart.
pub const MAX_ALLOCATORS: u32 = 8;

/// Epochs that may be open or not yet drained. A mark beyond it is merged into the running epoch and
/// counted. At 1 000 marks a second that is one second of a controller that doesn't get to run.
pub const MAX_EPOCHS: u32 = 1024;

/// Calls that one allocation call may make itself. What looks like more is no part of it: it was left by a
/// `longjmp` out of a signal handler, and where its return address lay nobody has written since.
pub const MAX_NESTED: u32 = 256;

/// Threads of the target that may be inside an allocation call, or have been.
pub const MAX_THREADS: u32 = 32_768;

/// Live blocks, unless `--max-live` says otherwise.
pub const DEFAULT_MAX_LIVE: u32 = 1_000_000;

/// Distinct stacks, unless `--max-stacks` says otherwise. Rows of (stack, epoch) get twice as many.
pub const DEFAULT_MAX_STACKS: u32 = 65_536;

/// Bytes of the ring buffer that carries new stacks. A power of two.
pub const RING_BYTES: u32 = 1 << 20;

/// Bytes of the ring buffer that changes of mappings may fill: the rest is kept for stacks and marks, so
/// that a program that maps without end loses none of these.
pub const MAPPING_BYTES: u32 = RING_BYTES / 2;

const _: () = assert!(MAX_EPOCHS.is_power_of_two(), "epochs are kept in a masked ring");
