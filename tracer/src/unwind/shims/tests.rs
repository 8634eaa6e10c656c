//! Real libraries, and shims compiled on the spot.

use proptest::prelude::{any, prop, proptest};

use super::{is_shim, shim_steps};
use crate::{
    sites::{
        find_function,
        testing::{compiled, libc, mapped},
    },
    units::ElfAddr,
};

/// The return addresses in `[start, start + 64)`, relative to it, with the frame's size and whether `rbp` is
/// kept.
fn steps_near(object: &[u8], name: &str) -> Vec<(u64, u32, u32)> {
    let start = find_function(object, name).expect("the object defines it").address;
    shim_steps(object)
        .into_iter()
        .filter_map(|(ElfAddr(at), step)| {
            Some((at.checked_sub(start.0)?, step.cfa_offset, step.keeps_rbp))
        })
        .filter(|(at, ..)| *at < 64)
        .collect()
}

#[test]
fn knows_the_shims() {
    for name in ["_Znwm", "_ZnamRKSt9nothrow_t", "_ZnwmSt11align_val_t", "strdup", "__strndup"] {
        assert!(is_shim(name), "{name}");
    }
    for name in ["_ZN2nsnwEv", "strdupa", "malloc", "_ZdlPv", ""] {
        assert!(!is_shim(name), "{name}");
    }
}

#[test]
fn describes_operator_new() {
    let Some(library) = mapped("libstdc++.so.6") else { return };
    for (address, step) in shim_steps(&library) {
        println!("{address:#x}: {} bytes", step.cfa_offset);
    }
    let steps = steps_near(&library, "_Znwm");
    assert!(!steps.is_empty());
    assert!(
        steps.iter().all(|(_, size, _)| *size % 8 == 0 && (8..=256).contains(size)),
        "{steps:?}"
    );
}

#[test]
fn finds_the_frame_right_after_each_call() {
    // Each comment is the offset of the instruction's end.
    let source = "
        .globl strdup
        .type strdup, @function
        strdup:
        .cfi_startproc
        sub $24, %rsp                   # 4
        .cfi_def_cfa_offset 32
        call malloc@PLT                 # 9
        add $24, %rsp                   # 13
        .cfi_def_cfa_offset 8
        push %rbp                       # 14
        .cfi_def_cfa_offset 16
        .cfi_offset %rbp, -16
        call malloc@PLT                 # 19: rbp is saved, the walk ends
        mov %rsp, %rbp                  # 22
        .cfi_def_cfa_register %rbp
        call malloc@PLT                 # 27: and the frame hangs on it
        pop %rbp                        # 28
        .cfi_restore %rbp
        .cfi_def_cfa %rsp, 8
        push %rbx                       # 29
        .cfi_def_cfa_offset 16
        .cfi_offset %rbx, -16
        call *%rax                      # 31
        pop %rbx                        # 32
        .cfi_def_cfa_offset 8
        sub $8, %rsp                    # 36
        .cfi_def_cfa_offset 16
        call abort@PLT                  # 41: never returns, and the function ends here
        .cfi_endproc
        .size strdup, .-strdup
    ";
    let Some(library) = compiled("gcc", "shim.s", source, &["-shared"]) else { return };
    assert_eq!(steps_near(&library, "strdup"), [(9, 32, 1), (19, 16, 0), (31, 16, 1), (41, 16, 1)]);
}

#[test]
fn sees_the_shims_of_a_static_program() {
    let source = "int main() { return *new int(3); }";
    let Some(program) = compiled("g++", "new.cc", source, &["-static"]) else { return };
    assert!(!steps_near(&program, "_Znwm").is_empty());
}

#[test]
fn damaged_objects_never_panic() {
    let Some(libc) = libc() else { return };
    let rows = libc.len() * 8 / 10..libc.len();
    for seed in 0..40_usize {
        let mut object = libc.clone();
        for i in 0..400_usize {
            let at = (seed * 7919 + i * 104_729).wrapping_mul(2_654_435_761) % rows.len();
            object[rows.start + at] ^= 1 << (i % 8);
            object[(seed * 31 + i) % 1024] ^= u8::from(i < 3) << (seed % 8);
        }
        shim_steps(&object);
        shim_steps(&object[..libc.len() - seed * 20_000]);
    }
}

proptest! {
    #[test]
    fn garbage_gives_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        assert_eq!(shim_steps(&bytes).len(), 0);
    }
}
