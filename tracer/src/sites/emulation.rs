//! Which instructions the kernel emulates under a uprobe.
//!
//! An emulated one costs one trap. Any other is single-stepped in a copy, 2–18 × as dear. The rule is
//! that of `branch_setup_xol_ops` and `push_setup_xol_ops` in the kernel's `arch/x86/kernel/uprobes.c`,
//! cut down to what every supported version does alike:
//! - `nop` only as the single byte 90. Older kernels refuse `66 90`, take `41 90` (`xchg`) for a nop,
//!   and emulate the long nops from 6.16 on only.
//! - No prefix on a branch: with 66 the probe is refused, and the others nobody emits.

/// Whether every supported kernel emulates the instruction made of exactly these bytes.
pub(super) fn is_emulated(instruction: &[u8]) -> bool {
    is_nop_or_push(instruction) || is_branch(instruction)
}

fn is_nop_or_push(instruction: &[u8]) -> bool {
    // nop, push rax … rdi · push r8 … r15
    matches!(instruction, [0x90 | 0x50..=0x57] | [0x41, 0x50..=0x57])
}

fn is_branch(instruction: &[u8]) -> bool {
    match instruction {
        [opcode, _] => matches!(opcode, 0xeb | 0x70..=0x7f), // jmp, jcc rel8
        [opcode, _, _, _, _] => matches!(opcode, 0xe9 | 0xe8), // jmp, call rel32
        [0x0f, opcode, _, _, _, _] => matches!(opcode, 0x80..=0x8f), // jcc rel32
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_emulated;

    #[test]
    fn takes_what_all_kernels_emulate() {
        let emulated: [&[u8]; 9] = [
            &[0x90],
            &[0x55],
            &[0x41, 0x54],
            &[0xeb, 0x10],
            &[0x74, 0x05],
            &[0x7f, 0x05],
            &[0xe9, 1, 2, 3, 4],
            &[0xe8, 1, 2, 3, 4],
            &[0x0f, 0x84, 1, 2, 3, 4],
        ];
        for bytes in emulated {
            assert!(is_emulated(bytes), "{bytes:02x?}");
        }
    }

    #[test]
    fn leaves_what_some_kernel_steps_or_refuses() {
        let stepped: [&[u8]; 12] = [
            &[],
            &[0xf3, 0x0f, 0x1e, 0xfa],       // endbr64
            &[0xf3, 0x90],                   // pause
            &[0x66, 0x90],                   // two-byte nop
            &[0x41, 0x90],                   // xchg r8, rax
            &[0x0f, 0x1f, 0x44, 0x00, 0x00], // five-byte nop
            &[0x66, 0x55],                   // push bp
            &[0x40, 0x55],                   // push rbp with an idle REX prefix
            &[0xff, 0x35, 0, 0, 0, 0],       // push from memory
            &[0x6a, 0x01],                   // push 1
            &[0xe3, 0x05],                   // jrcxz
            &[0xc3],                         // ret
        ];
        for bytes in stepped {
            assert!(!is_emulated(bytes), "{bytes:02x?}");
        }
    }
}
