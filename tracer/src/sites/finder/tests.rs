//! Byte sequences as compilers emit them, and as nobody should.

use proptest::prelude::{any, prop, proptest};

use super::{Needs, Site, find_site};
use crate::{
    sites::Role,
    units::{ElfAddr, FileOffset},
};

const ADDRESS: ElfAddr = ElfAddr(0x9_8ef0);
const START: FileOffset = FileOffset(0x7_2ef0);

fn site(role: Role, code: &[u8]) -> Site {
    find_site(code, ADDRESS, START, Needs::of_role(role))
}

/// The site's distance from the start, and whether it is emulated.
fn chosen(role: Role, code: &[u8]) -> (u32, bool) {
    let site = site(role, code);
    assert_eq!(site.offset.0, START.0 + u64::from(site.skip));
    (site.skip, site.emulated)
}

#[test]
fn takes_an_emulated_first_instruction() {
    let found = site(Role::Malloc, &[0x41, 0x54, 0x55, 0x53, 0xc3]);
    let expected =
        Site { offset: START, skip: 0, instruction: "push r12".to_owned(), emulated: true };
    assert_eq!(found, expected);
}

#[test]
fn crosses_endbr64() {
    assert_eq!(chosen(Role::Malloc, &[0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0xc3]), (4, true));
}

#[test]
fn takes_the_branch_of_glibc_free() {
    // test rdi,rdi; je +3; push rbp; pop rbp; ret; ret
    let free = [0x48, 0x85, 0xff, 0x74, 0x03, 0x55, 0x5d, 0xc3, 0xc3];
    let found = site(Role::Free, &free);
    assert_eq!((found.skip, found.emulated), (3, true));
    assert_eq!(found.instruction, "je 0x98ef8");
}

#[test]
fn takes_a_branch_before_the_first_push() {
    // cmp byte [rip+0],0; je +0; push rbp
    let code = [0x80, 0x3d, 0, 0, 0, 0, 0, 0x74, 0x00, 0x55, 0xc3];
    // Its target is behind it: no way to pass it twice.
    assert_eq!(chosen(Role::Aligned, &code), (7, true));
}

#[test]
fn never_crosses_a_change_of_the_stack_pointer() {
    // sub rsp,8; push rbp
    let code = [0x48, 0x83, 0xec, 0x08, 0x55, 0xc3];
    assert_eq!(chosen(Role::Malloc, &code), (0, false));
    let marked = find_site(&code, ADDRESS, START, Needs::NOTHING);
    assert_eq!((marked.skip, marked.emulated), (4, true));
}

#[test]
fn never_crosses_a_write_to_an_argument_it_reads() {
    // mov rdi,rsi; push rbp
    let code = [0x48, 0x89, 0xf7, 0x55, 0xc3];
    assert_eq!(chosen(Role::Malloc, &code), (0, false));
    assert_eq!(chosen(Role::Aligned, &code), (3, true), "reads rsi only");
    // xor edi,edi clears all of rdi.
    assert_eq!(chosen(Role::Free, &[0x31, 0xff, 0x55, 0xc3]), (0, false));
    // mov rax,rsi; mul rdx; push rbp: mul writes rdx by the way.
    let code = [0x48, 0x89, 0xf0, 0x48, 0xf7, 0xe2, 0x55, 0xc3];
    assert_eq!(chosen(Role::Reallocarray, &code), (0, false));
    // cmove rdi,rax; push rbp: a write that may not happen.
    assert_eq!(chosen(Role::Free, &[0x48, 0x0f, 0x44, 0xf8, 0x55, 0xc3]), (0, false));
}

#[test]
fn never_takes_a_site_that_a_branch_leads_to() {
    // mov rax,rdi; push rbp; pop rbp; jmp to the push
    let to_site = [0x48, 0x89, 0xf8, 0x55, 0x5d, 0xeb, 0xfc];
    assert_eq!(chosen(Role::Malloc, &to_site), (0, false));
    // test rdi,rdi; mov rax,rdi; push rbp; pop rbp; jmp to the second instruction
    let before_site = [0x48, 0x85, 0xff, 0x48, 0x89, 0xf8, 0x55, 0x5d, 0xeb, 0xf9];
    assert_eq!(chosen(Role::Malloc, &before_site), (0, false));
    // The same, but the jump goes behind the site.
    let behind_site = [0x48, 0x85, 0xff, 0x48, 0x89, 0xf8, 0x55, 0x5d, 0xeb, 0xfd];
    assert_eq!(chosen(Role::Malloc, &behind_site), (6, true));
}

#[test]
fn never_crosses_a_call_or_a_return() {
    // call [rip+0]; push rbp
    assert_eq!(chosen(Role::Malloc, &[0xff, 0x15, 0, 0, 0, 0, 0x55, 0xc3]), (0, false));
    // xor eax,eax; ret; push rbp (of the next function)
    assert_eq!(chosen(Role::Malloc, &[0x31, 0xc0, 0xc3, 0x55]), (0, false));
    // mov eax,11; syscall; push rbp
    let code = [0xb8, 11, 0, 0, 0, 0x0f, 0x05, 0x55];
    assert_eq!(chosen(Role::Malloc, &code), (0, false));
}

#[test]
fn takes_tail_jumps_and_short_functions() {
    assert_eq!(chosen(Role::Malloc, &[0xe9, 0x10, 0x00, 0x00, 0x00]), (0, true));
    assert_eq!(chosen(Role::Free, &[0xc3]), (0, false));
    assert_eq!(chosen(Role::Free, &[0x48, 0x85, 0xff]), (0, false));
}

#[test]
fn stays_at_the_start_of_what_it_cannot_read() {
    assert_eq!(chosen(Role::Malloc, &[]), (0, false));
    // Cut off within the second instruction.
    assert_eq!(chosen(Role::Malloc, &[0x48, 0x89, 0xf8, 0x41]), (0, false));
    // int3, and an opcode that does not exist in 64-bit mode.
    assert_eq!(chosen(Role::Malloc, &[0xcc, 0x55]), (0, false));
    assert_eq!(chosen(Role::Malloc, &[0x06, 0x55]), (0, false));
}

#[test]
fn stops_looking_after_a_while() {
    // mov rax,rdi over and over.
    let mut code = [0x48, 0x89, 0xf8].repeat(17);
    code.push(0x55);
    assert_eq!(chosen(Role::Malloc, &code), (0, false));
    assert_eq!(chosen(Role::Malloc, &code[3..]), (48, true));
}

proptest! {
    #[test]
    fn any_bytes_give_a_site_within_them(code in prop::collection::vec(any::<u8>(), 0..200)) {
        for role in [Role::Malloc, Role::Reallocarray, Role::PosixMemalign, Role::Free] {
            let site = site(role, &code);
            assert!(site.skip == 0 || (site.skip as usize) < code.len());
            assert!(site.emulated || site.skip == 0);
        }
    }

    #[test]
    fn addresses_may_wrap(code in prop::collection::vec(any::<u8>(), 0..64), below in 0..64u64) {
        let address = ElfAddr(u64::MAX - below);
        find_site(&code, address, START, Needs::of_role(Role::Free));
    }
}
