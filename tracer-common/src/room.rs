//! How much user space has to catch up with: a map of two words, each of which is written by itself.

/// Which word has the rows that were made since user space set it to 0.
pub const ROOM_ROWS: u32 = 0;

/// Which word is 1 since the target was stopped because of these, or because the ring buffer is half full. User space sets it to 0,
/// and then lets the target go on.
pub const ROOM_HELD: u32 = 1;

/// How many words there are.
pub const ROOM_WORDS: u32 = 2;
