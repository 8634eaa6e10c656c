//! Stacks that the kernel side could not unwind: unwound here, from a copy of their memory.
//!
//! The kernel side sends such a stack twice under one provisional id: what it found of it, and the memory. Where
//! the memory gives more, that id becomes an alias of the id that the whole stack has.

use std::collections::HashMap;

use tracer_common::{FrameWord, Space, StackHash, StackId, UnwindStatus};

use super::{
    recorder::Recorder,
    stacks::{KnownStack, return_address},
    unwinding::Unwinding,
};
use crate::{
    bpf::RawStack,
    ledger::StackKey,
    target::{Location, Modules, read_object},
    unwind::Deferred,
};

/// What is known of such stacks.
#[derive(Default)]
pub(super) struct DeferredStacks {
    unwinder: Deferred,
    /// The version of the code map that `unwinder` knows; 0 for none.
    version: u64,
    /// Those that came since the last look at the mappings.
    waiting: Vec<RawStack>,
    aliases: HashMap<StackKey, StackKey>,
}

impl std::fmt::Debug for DeferredStacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeferredStacks").field("aliases", &self.aliases).finish_non_exhaustive()
    }
}

impl DeferredStacks {
    /// The id that a stack goes by in the books.
    pub(super) fn final_key(&self, key: StackKey) -> StackKey {
        self.aliases.get(&key).copied().unwrap_or(key)
    }

    /// Whether there are any that wait to be unwound.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has the unwinder know what is mapped now.
    fn follow(&mut self, modules: &Modules, unwinding: &Unwinding) {
        if self.version == unwinding.version() {
            return;
        }
        self.version = unwinding.version();
        self.unwinder.forget_all();
        let vdso = modules.vdso();
        for span in modules.spans() {
            let Some((id, bias)) = span.module else { continue };
            let file = modules.all().get(id.0 as usize).and_then(|module| module.file.as_deref());
            if let Some(bytes) = file.and_then(|file| read_object(file).ok()) {
                self.unwinder.add_module(span.start, span.end, bias, &bytes);
            } else if let Some((_, image)) = vdso.as_ref().filter(|(vdso, _)| *vdso == id) {
                self.unwinder.add_module(span.start, span.end, bias, image);
            }
        }
    }
}

impl Recorder {
    /// The id that a stack goes by in the books.
    pub(super) fn final_key(&self, key: StackKey) -> StackKey {
        self.deferred.final_key(key)
    }

    /// Puts the memory of a stack aside: the mappings may have to be read again for it.
    pub(super) fn keep_raw_stack(&mut self, raw: RawStack) {
        self.deferred.waiting.push(raw);
    }

    /// Unwinds the stacks that were put aside. To be done before their epochs are booked.
    pub(super) fn unwind_raw_stacks(&mut self) {
        for raw in std::mem::take(&mut self.deferred.waiting) {
            self.unwind_raw_stack(&raw);
        }
    }

    /// Where it fails, what the kernel side found of the stack stands.
    fn unwind_raw_stack(&mut self, raw: &RawStack) {
        let key = StackKey { space: raw.space, stack: raw.stack };
        // What has been booked under the provisional id stays there: the books never move blocks.
        let is_booked = self.ledger.stack(key).is_some()
            || self.pending.rows.iter().any(|(row, _)| *row == key);
        if is_booked || raw.space != self.unwinding.space() {
            return;
        }
        self.deferred.follow(&self.modules, &self.unwinding);
        let rule_at = |at| self.unwinding.rule_at(&self.modules, at);
        let unwinder = &mut self.deferred.unwinder;
        let (addresses, status) = unwinder.unwind(raw.ip, raw.sp, raw.bp, &raw.bytes, rule_at);
        let words: Vec<_> = addresses.into_iter().map(|at| word(&self.modules, at)).collect();
        let known = KnownStack::new(&words, status);
        if self.stacks.get(&key).is_some_and(|found| !known.is_better_than(found)) {
            return;
        }
        let whole = StackKey { space: raw.space, stack: id(raw.space, &words, status) };
        self.stacks.entry(whole).or_insert(known);
        self.deferred.aliases.insert(key, whole);
    }

    /// What the kernel side found of a stack arrived: it stands, unless its memory gave more.
    pub(super) fn drop_worse_alias(&mut self, key: StackKey, found: &KnownStack) {
        if let Some(whole) = self.deferred.aliases.get(&key)
            && !self.stacks.get(whole).is_some_and(|whole| whole.is_better_than(found))
        {
            self.deferred.aliases.remove(&key);
        }
    }
}

/// A return address as the kernel side would put it.
fn word(modules: &Modules, address: u64) -> FrameWord {
    match return_address(modules, address) {
        Some(Location::InModule(id, at))
            if id.0 < FrameWord::MAX_MODULES && at.0 < FrameWord::ADDRESS_END =>
        {
            FrameWord::in_module(id.0, at.0, 0)
        }
        _ => FrameWord::bare(address, 0),
    }
}

/// A stack's id, by the kernel side's rule.
fn id(space: Space, words: &[FrameWord], status: UnwindStatus) -> StackId {
    let hash = words.iter().fold(StackHash::new(space), |hash, word| hash.with(word.0));
    hash.finish(status as u32)
}
