//! Notes of programs that are compiled on the spot, and of no program at all.

use proptest::prelude::*;

use super::{Probe, UsdtSite, usdt_sites};
use crate::sites::testing::compiled;

const HEADER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../include/memtrace.h");

fn program(compiler: &str, name: &str, body: &str, flags: &[&str]) -> Option<Vec<u8>> {
    compiled(compiler, name, &format!("#include \"{HEADER}\"\n{body}"), flags)
}

fn found(object: &[u8], name: &str) -> Vec<UsdtSite> {
    usdt_sites(object, "memtrace", name).expect("an ELF object")
}

#[test]
fn each_place_of_the_header_s_probe_is_found_and_is_a_nop() {
    let body = "int main(void) { MEMTRACE_ITERATION(); MEMTRACE_ITERATION(); return 0; }";
    for flags in [&["-O2", "-pie", "-fPIE"][..], &["-O0", "-no-pie"], &["-O2", "-shared", "-fPIC"]]
    {
        for (compiler, name) in [("cc", "usdt.c"), ("c++", "usdt.cc")] {
            let Some(object) = program(compiler, name, body, flags) else { return };
            let sites = found(&object, "iteration");
            assert_eq!(sites.len(), 2, "{compiler} {flags:?}");
            for site in sites {
                assert_eq!(object[site.offset.0 as usize], 0x90, "{compiler} {flags:?}");
                assert_eq!(site.semaphore, None);
            }
            assert_eq!(found(&object, "iterations"), []);
        }
    }
}

/// As `sys/sdt.h` writes it for a program that asks for a semaphore.
#[test]
fn a_probe_behind_a_semaphore_is_known_as_one() {
    const GUARDED: &str = r#"
        __attribute__((section(".probes"))) volatile unsigned short memtrace_iteration_semaphore;
        int main(void)
        {
            if (memtrace_iteration_semaphore)
                __asm__ volatile(
                    "990: nop\n"
                    ".pushsection .note.stapsdt,\"?\",\"note\"\n.balign 4\n"
                    ".4byte 992f-991f, 994f-993f, 3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"
                    "993: .8byte 990b, 0, memtrace_iteration_semaphore\n"
                    ".asciz \"memtrace\", \"iteration\", \"-4@%%eax\"\n994: .balign 4\n.popsection\n");
            return 0;
        }
    "#;
    let Some(object) = compiled("cc", "guarded.c", GUARDED, &["-O1"]) else { return };
    assert!(matches!(found(&object, "iteration")[..], [UsdtSite { semaphore: Some(_), .. }]));
}

#[test]
fn an_object_without_notes_has_none() {
    let Some(object) = compiled("cc", "plain.c", "int main(void) { return 0; }", &[]) else {
        return;
    };
    assert_eq!(found(&object, "iteration"), []);
    assert!(usdt_sites(b"no object", "memtrace", "iteration").is_err());
}

#[test]
fn a_damaged_object_is_no_reason_to_panic() {
    let body = "int main(void) { MEMTRACE_ITERATION(); return 0; }";
    let Some(object) = program("cc", "damaged.c", body, &[]) else { return };
    for len in (0..object.len()).step_by(97) {
        let _ = usdt_sites(&object[..len], "memtrace", "iteration");
    }
}

proptest! {
    #[test]
    fn any_bytes_may_be_a_note(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Probe::read(&bytes);
    }
}
