//! Capacities. What a limit cuts off is counted, never dropped in silence.

/// Frames kept of a stack, innermost first. 13 frames of Python 3.10 take 124 of C.
pub const MAX_FRAMES: usize = 256;

/// Frames of Python's kept of a stack, innermost first. A power of two.
pub const MAX_PYTHON_FRAMES: usize = 256;

/// Runs of Python's frames kept of a stack: calls of the interpreter's evaluation function. A power of two.
pub const MAX_PYTHON_RUNS: usize = 64;

/// Bytes of a `PyThreadState` that have what is read of it. A power of two.
pub const MAX_PYTHON_STATE: usize = 512;

/// Bytes of a `str` of Python's with a file's name, its head of 40 to 72 bytes among them, that go to user space with a
/// code object. A multiple of 8, as the next two.
pub const MAX_PYTHON_FILE: usize = 504;

/// Bytes of one with a function's name.
pub const MAX_PYTHON_NAME: usize = 248;

/// Bytes of a `bytes` of Python's with a line table. That of a function of a hundred lines has about a thousand.
pub const MAX_PYTHON_LINES: usize = 3064;

/// Code objects of Python's that the kernel side remembers to have sent. Where there are more, they are sent again.
pub const MAX_PYTHON_CODES: u32 = 32_768;

/// Pools of Python's own allocator of which it is remembered who took them: 1 GiB of small objects.
pub const MAX_PYTHON_POOLS: u32 = 65_536;

/// Stacks a second that are found for these, on an average: some 7 µs each.
pub const POOL_STACKS_PER_SECOND: u32 = 2000;

/// How many of them may come at once: 64 MiB of small objects.
pub const POOL_STACK_BURST: u32 = 4096;

/// Words of the target's stack that are copied at a time, to unwind it in the copy. A power of two.
pub const WINDOW_WORDS: usize = 512;

/// Words of the stack that a remembered stack may depend on: a return address each frame, and a few more. A power of two.
pub const MEMO_SLOTS: usize = 128;

/// Stacks that are remembered, by the place of the call. A power of two.
pub const MEMO_ENTRIES: u32 = 4096;

/// Code addresses whose rule is remembered. A power of two.
pub const CACHED_RULES: usize = 4096;

/// Maps of unwind tables. Each has those of the objects that were seen together.
pub const MAX_TABLES: u32 = 1024;

/// Bytes of the stack that go to user space where the kernel side can't unwind it. A multiple of 4096.
pub const RAW_STACK_BYTES: usize = 16 << 10;

/// Such stacks a second, at most; what is beyond keeps what the kernel side found of it.
pub const RAW_STACKS_PER_SECOND: u32 = 500;

/// Such stacks in an epoch, at most. Each has a row of its own, and rows are for stacks that come again.
pub const RAW_STACKS_PER_EPOCH: u32 = 8192;

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
pub const RING_BYTES: u32 = 1 << 22;

/// Bytes in it from which on a target that may be held waits: what user space has to hear of soon is behind them.
pub const HOLD_BYTES: u32 = 1 << 19;

/// Bytes of it that stacks leave alone: they are sent again, but not what wakes the controller and says why.
pub const KEPT_BYTES: u32 = 1 << 16;

/// Bytes of the ring buffer for stacks that go as raw memory: room for 127 of them. A power of two.
pub const RAW_RING_BYTES: u32 = 1 << 21;

/// Bytes of the ring buffer that changes of mappings may fill: the rest is kept for stacks and marks, so
/// that a program that maps without end loses none of these.
pub const MAPPING_BYTES: u32 = RING_BYTES / 2;

const _: () = assert!(MAX_EPOCHS.is_power_of_two(), "epochs are kept in a masked ring");
