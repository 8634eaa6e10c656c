//! Stands in for what another branch writes.

use tracer_common::UnwindStatus;

#[derive(Debug, Default)]
pub(super) struct Deferred;

#[expect(clippy::unused_self, reason = "a stub")]
impl Deferred {
    pub(super) fn add_module(&mut self, _start: u64, _end: u64, _bias: u64, _object: &[u8]) {}

    pub(super) fn forget_all(&mut self) {}

    pub(super) fn unwind(&mut self, _: u64, _: u64, _: u64, _: &[u8]) -> (Vec<u64>, UnwindStatus) {
        (Vec::new(), UnwindStatus::NoRule)
    }
}
