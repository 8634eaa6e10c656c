//! The names of maps, programs and load-time constants, as they stand in the eBPF object.

/// [`crate::KernelState`], one.
pub const STATE: &str = "STATE";
/// [`crate::Control`], one.
pub const CONTROL: &str = "CONTROL";
/// [`crate::EpochSlot`], a ring.
pub const EPOCHS: &str = "EPOCHS";
/// [`crate::RowKey`] → row.
pub const ROWS: &str = "ROWS";
/// [`crate::LiveKey`] → [`crate::LiveBlock`].
pub const LIVE: &str = "LIVE";
/// `pid_tgid` → [`crate::ThreadState`].
pub const THREADS: &str = "THREADS";
/// [`crate::StackId`]s that user space has, per address space.
pub const KNOWN: &str = "KNOWN";
/// [`crate::CodeMap`]s.
pub const CODE: &str = "CODE";
/// Unwind tables: arrays of [`crate::unwind::Node`]s.
pub const TABLES: &str = "TABLES";
/// The programs that a walk goes through where the kernel has no loops, by [`crate::chain`]'s numbers.
pub const CHAIN: &str = "CHAIN";
/// [`crate::Memo`]s.
pub const MEMOS: &str = "MEMOS";
/// [`crate::RuleCache`], one.
pub const RULES: &str = "RULES";
/// [`crate::CodeRange`]s of allocators.
pub const ALLOCATORS: &str = "ALLOCATORS";
/// [`crate::PythonConfig`], one.
pub const PYTHON: &str = "PYTHON";
/// How often Python's code objects were freed; then 1 if they are counted, else 0. Numbers of 64 bits.
pub const PYTHON_FREES: &str = "PYTHON_FREES";
/// Address of a pool of Python's → [`crate::PoolTaken`].
pub const PYTHON_POOLS: &str = "PYTHON_POOLS";
/// [`crate::POOL_WORDS`] words.
pub const POOL_WORDS: &str = "POOL_WORDS";
/// [`crate::ROOM_WORDS`] words.
pub const ROOM: &str = "ROOM";
/// [`crate::Tally`], one per CPU.
pub const TALLY: &str = "TALLY";
/// Events.
pub const EVENTS: &str = "EVENTS";
/// Stacks as raw memory.
pub const RAW_STACKS: &str = "RAW_STACKS";

/// The target's thread group, as the namespace below numbers it.
pub const TARGET_TGID: &str = "TARGET_TGID";
/// Device of the target's pid namespace.
pub const TARGET_NS_DEVICE: &str = "TARGET_NS_DEVICE";
/// Inode of the target's pid namespace; 0 for the initial one.
pub const TARGET_NS_INODE: &str = "TARGET_NS_INODE";
/// Smallest block recorded, in bytes.
pub const MIN_SIZE: &str = "MIN_SIZE";
/// Largest block recorded, in bytes.
pub const MAX_SIZE: &str = "MAX_SIZE";
/// A mark at each so many entries of the mark function.
pub const MARK_EVERY: &str = "MARK_EVERY";
/// Not 0 where stacks are to be those of `bpf_get_stack`.
pub const KERNEL_STACKS: &str = "KERNEL_STACKS";
/// Where the kernel keeps a thread's thread pointer (`fs`): bytes from its `task_struct`. 0 where that is not known.
pub const THREAD_POINTER: &str = "THREAD_POINTER";
