//! The programs of a stack walk on kernels without `bpf_loop`, as they are numbered in the map of programs.

/// Goes on with the walk.
pub const WALK_ON: u32 = 0;
/// Ends a call of an allocation function.
pub const LEAVE: u32 = 1;
/// Ends a call of an `operator new`.
pub const LEAVE_OPERATOR_NEW: u32 = 2;
/// Ends a call of a mapping function.
pub const LEAVE_MAPPING: u32 = 3;

/// Every number, with the program's name in the object.
pub const PROGRAMS: [(u32, &str); 4] = [
    (WALK_ON, "walk_on"),
    (LEAVE, "leave_walked"),
    (LEAVE_OPERATOR_NEW, "leave_operator_new_walked"),
    (LEAVE_MAPPING, "leave_mapping_walked"),
];
