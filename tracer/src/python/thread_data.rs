//! Where a thread keeps what `pthread_getspecific` returns.

use super::{
    Unfit,
    accessor::{self, Sum, Value},
};
use crate::{
    sites::{elf::Elf, symbols},
    target::{Module, read_object},
};

/// Keys that glibc keeps in the thread's control block itself.
const NEAR_KEYS: u32 = 32;
/// What is exported by the C library, up to glibc 2.33 by its thread library.
const FUNCTION: &str = "pthread_getspecific";

/// Where a thread's values are, by the thread pointer: read off the C library's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadData {
    /// Bytes from the thread pointer to the value of key 0.
    first: u64,
    /// Bytes from one key's value to the next one's.
    stride: u64,
}

impl ThreadData {
    /// How the object has it; `None` if it is not the one that exports the function, and an error where its code is not
    /// understood.
    pub(super) fn of(module: &Module) -> Option<Result<Self, Unfit>> {
        let bytes = read_object(module.file.as_ref()?).ok()?;
        let elf = Elf::parse(&bytes).ok()?;
        let exported = symbols::exported(&elf);
        let found = exported.iter().find(|symbol| symbol.name == FUNCTION)?;
        let code = elf.code(found.address, found.size)?;
        let object = module.path.display().to_string();
        Some(Self::read(code).ok_or(Unfit::Code { object, function: FUNCTION }))
    }

    /// By the function's code.
    fn read(code: &[u8]) -> Option<Self> {
        accessor::follow(code, 0, &mut |_| None).into_iter().find_map(|outcome| {
            match outcome.result {
                Value::At(Sum { argument: stride, thread: 1, constant: first }, 8)
                    if outcome.returns && stride >= 8 && first < 4096 && stride < 64 =>
                {
                    Some(Self { first, stride })
                }
                _ => None,
            }
        })
    }

    /// Bytes from the thread pointer to the value of a key.
    pub(super) fn of_key(self, key: u32) -> Result<u64, Unfit> {
        if key >= NEAR_KEYS {
            return Err(Unfit::Key { key });
        }
        Ok(self.first + self.stride * u64::from(key))
    }
}

/// Whether an object may be the one: only these are read.
pub(super) fn is_c_library(module: &Module) -> bool {
    let name = module.path.file_name().unwrap_or_default().to_string_lossy();
    ["libc.so", "libc-", "libpthread"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::{ThreadData, Unfit};

    /// glibc 2.36, without the part for keys further out.
    const GLIBC: [u8; 59] = [
        0x83, 0xff, 0x1f, 0x77, 0x3b, 0x89, 0xf8, 0x48, 0x83, 0xc0, 0x31, 0x48, 0xc1, 0xe0, 0x04,
        0x64, 0x48, 0x03, 0x04, 0x25, 0x10, 0x00, 0x00, 0x00, 0x48, 0x8b, 0x50, 0x08, 0x48, 0x85,
        0xd2, 0x74, 0x57, 0x89, 0xff, 0x48, 0x8d, 0x0d, 0x56, 0xaf, 0x14, 0x00, 0x48, 0x8b, 0x30,
        0x48, 0xc1, 0xe7, 0x04, 0x48, 0x39, 0x34, 0x39, 0x75, 0x39, 0x48, 0x89, 0xd0, 0xc3,
    ];

    #[test]
    fn glibcs_code_says_where_values_are() {
        let data = ThreadData::read(&GLIBC).expect("known code");
        assert_eq!(data, ThreadData { first: 0x318, stride: 16 });
        assert_eq!(data.of_key(2), Ok(0x338));
        assert_eq!(data.of_key(32), Err(Unfit::Key { key: 32 }));
    }

    #[test]
    fn other_code_is_not_guessed_at() {
        // musl: mov rax,fs:[0]; mov rax,[rax+0x80]; mov edi,edi; mov rax,[rax+rdi*8]; ret
        let musl = [
            0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8b, 0x80, 0x80, 0, 0, 0, 0x89, 0xff,
            0x48, 0x8b, 0x04, 0xf8, 0xc3,
        ];
        assert_eq!(ThreadData::read(&musl), None);
    }
}
