//! Stacks that the kernel side could not unwind: unwound here, from a copy of their memory.
//!
//! The kernel side sends such a stack twice under one provisional id: what it found of it, and the memory. Where
//! the memory gives more, that id becomes an alias of the id that the whole stack has.

use std::collections::HashMap;

use tracer_common::FrameWord;

use super::{
    booking::Pending,
    recorder::Recorder,
    splice::{self, NativeFrame},
    stacks::{KnownStack, return_address},
    unwinding::Unwinding,
};
use crate::{
    bpf::RawStack,
    ledger::{Ledger, StackKey},
    target::{Location, ModuleId, Modules, Span, read_object},
    unwind::{Deferred, DeferredFrame, Mapping},
};

/// Looks at a stack whose account has not come. There is none where it did not fit into the ring buffer; then no block was booked under
/// the stack's id.
const PATIENCE: u32 = 8;

/// Which stacks to unwind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those of which the kernel side's account is here, and with it Python's frames: memory comes first, and by a way of its own.
    Told,
    /// All.
    All,
}

/// What is known of such stacks.
#[derive(Default)]
pub(super) struct DeferredStacks {
    unwinder: Deferred,
    /// The version of the code map that `unwinder` knows; 0 for none.
    version: u64,
    /// Those that are not unwound yet, with how often they were looked at.
    waiting: Vec<(RawStack, u32)>,
    aliases: Aliases,
}

impl std::fmt::Debug for DeferredStacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeferredStacks").field("aliases", &self.aliases).finish_non_exhaustive()
    }
}

/// Which stacks go by another's id.
#[derive(Debug, Default)]
struct Aliases(HashMap<StackKey, StackKey>);

impl Aliases {
    /// The id that a stack goes by in the books.
    fn final_key(&self, key: StackKey) -> StackKey {
        self.0.get(&key).copied().unwrap_or(key)
    }

    /// The memory of a stack gave an account of it, which stands if what the kernel side found is worse or not here
    /// yet. `whole` is that account's own id.
    fn keep_unwound(
        &mut self,
        stacks: &mut HashMap<StackKey, KnownStack>,
        key: StackKey,
        whole: StackKey,
        unwound: KnownStack,
    ) {
        if stacks.get(&key).is_some_and(|found| !unwound.is_better_than(found)) {
            return;
        }
        stacks.entry(whole).or_insert(unwound);
        self.0.insert(key, whole);
    }

    /// What the kernel side found of a stack arrived: it stands, unless its memory gave more, or has been booked.
    fn keep_found(
        &mut self,
        stacks: &HashMap<StackKey, KnownStack>,
        key: StackKey,
        found: &KnownStack,
        is_booked: impl Fn(StackKey) -> bool,
    ) {
        if let Some(whole) = self.0.get(&key)
            && !stacks.get(whole).is_some_and(|whole| whole.is_better_than(found))
            && !is_booked(*whole)
        {
            self.0.remove(&key);
        }
    }
}

impl DeferredStacks {
    /// The id that a stack goes by in the books.
    pub(super) fn final_key(&self, key: StackKey) -> StackKey {
        self.aliases.final_key(key)
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
        self.unwinder.set_code(modules.spans().filter_map(
            |Span { start, end, module, .. }| {
                let (id, bias) = module?;
                Some(Mapping { start, end, bias, object: id.0 })
            },
        ));
    }
}

impl Recorder {
    /// The id that a stack goes by in the books.
    pub(super) fn final_key(&self, key: StackKey) -> StackKey {
        self.deferred.final_key(key)
    }

    /// Puts the memory of a stack aside: the mappings may have to be read again for it.
    pub(super) fn keep_raw_stack(&mut self, raw: RawStack) {
        self.deferred.waiting.push((raw, 0));
    }

    /// Unwinds the stacks that were put aside. To be done before their epochs are booked.
    pub(super) fn unwind_raw_stacks(&mut self, which: Which) {
        for (raw, looks) in std::mem::take(&mut self.deferred.waiting) {
            let key = StackKey { space: raw.space, stack: raw.stack };
            if which == Which::All || self.stacks.contains_key(&key) {
                self.unwind_raw_stack(&raw);
            } else if looks < PATIENCE {
                self.deferred.waiting.push((raw, looks + 1));
            }
        }
    }

    /// Where it fails, what the kernel side found of the stack stands.
    fn unwind_raw_stack(&mut self, raw: &RawStack) {
        let key = StackKey { space: raw.space, stack: raw.stack };
        // What has been booked under the provisional id stays there: the books never move blocks.
        if is_booked(&self.ledger, &self.pending, key)
            || raw.space != self.unwinding.space()
            || self.unwinding.removals() != Some(raw.removals)
        {
            return;
        }
        self.deferred.follow(&self.modules, &self.unwinding);
        let rule_at = |at| self.unwinding.rule_at(&self.modules, at);
        let read = |object| object_bytes(&self.modules, ModuleId(object));
        let RawStack { ip, sp, bp, .. } = *raw;
        let unwinder = &mut self.deferred.unwinder;
        let (frames, status) = unwinder.unwind(ip, sp, bp, &raw.bytes, rule_at, read);
        let native =
            |at: DeferredFrame| NativeFrame { word: word(&self.modules, at.ip), sp: at.sp };
        let frames: Vec<_> = frames.into_iter().map(native).collect();
        let python = self.python_of(key).cloned();
        let words = splice::words(&frames, python.as_ref());
        let id = splice::id(raw.space, &words, status, python.as_ref());
        let named = |frame| self.python.id(raw.space, frame);
        let unwound = KnownStack::with_python(&words, status, python, named);
        let whole = StackKey { space: raw.space, stack: id.in_domain(raw.stack.domain()) };
        let whole = self.python.merged_id(whole, &unwound, &self.modules).unwrap_or(whole);
        self.deferred.aliases.keep_unwound(&mut self.stacks, key, whole, unwound);
    }

    /// Keeps what the kernel side found of a stack.
    pub(super) fn keep_found(&mut self, key: StackKey, found: KnownStack) {
        let Self { deferred, stacks, ledger, pending, python, modules, .. } = self;
        let is_booked = |key| is_booked(ledger, pending, key);
        if let Some(whole) = python.merged_id(key, &found, modules)
            && !is_booked(key)
        {
            deferred.aliases.0.insert(key, whole);
            stacks.entry(whole).or_insert(found);
            return;
        }
        deferred.aliases.keep_found(stacks, key, &found, is_booked);
        stacks.insert(key, found);
    }
}

/// Whether there is a row of a stack.
fn is_booked(ledger: &Ledger, pending: &Pending, key: StackKey) -> bool {
    ledger.stack(key).is_some() || pending.rows.contains_key(&key)
}

/// The bytes of an object; `None` where it can't be read.
fn object_bytes(modules: &Modules, id: ModuleId) -> Option<Vec<u8>> {
    match modules.all().get(id.0 as usize)?.file.as_deref() {
        Some(file) => read_object(file).ok(),
        None => modules.vdso().filter(|(vdso, _)| *vdso == id).map(|(_, image)| image.to_vec()),
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

#[cfg(test)]
mod tests {
    use tracer_common::{Space, StackId, UnwindStatus};

    use super::*;

    const KEY: StackKey = StackKey { space: Space(1), stack: StackId(10) };
    const WHOLE: StackKey = StackKey { space: Space(1), stack: StackId(20) };

    #[derive(Clone, Copy)]
    enum Account {
        Found(usize, UnwindStatus),
        Unwound(usize, UnwindStatus),
    }
    use Account::{Found, Unwound};

    fn known(len: usize, status: UnwindStatus) -> KnownStack {
        KnownStack::new(&vec![FrameWord::in_module(0, 0x10, 0); len], status)
    }

    /// How long the stack is that the report has for `KEY`, and how it ended.
    fn reported(accounts: &[Account], booked: &[StackKey]) -> (usize, UnwindStatus) {
        let (mut aliases, mut stacks) = (Aliases::default(), HashMap::new());
        for account in accounts {
            match *account {
                Found(len, status) => {
                    let found = known(len, status);
                    aliases.keep_found(&stacks, KEY, &found, |key| booked.contains(&key));
                    stacks.insert(KEY, found);
                }
                Unwound(len, status) => {
                    aliases.keep_unwound(&mut stacks, KEY, WHOLE, known(len, status));
                }
            }
        }
        let stack = &stacks[&aliases.final_key(KEY)];
        (stack.locations.len(), stack.status)
    }

    #[test]
    fn the_better_account_is_reported_whichever_comes_first() {
        use UnwindStatus::{Complete, FramePointers, NoRule, ReadFault, TablePending};
        for (found, unwound, expected) in [
            ((2, TablePending), (9, Complete), (9, Complete)),
            ((2, NoRule), (5, ReadFault), (5, ReadFault)),
            ((5, NoRule), (2, ReadFault), (5, NoRule)),
            ((5, FramePointers), (9, ReadFault), (5, FramePointers)),
            ((5, NoRule), (5, ReadFault), (5, NoRule)),
        ] {
            let accounts = [Found(found.0, found.1), Unwound(unwound.0, unwound.1)];
            assert_eq!(reported(&accounts, &[]), expected);
            assert_eq!(reported(&[accounts[1], accounts[0]], &[]), expected);
            // What did not fit into the buffer is sent again.
            assert_eq!(reported(&[accounts[0], accounts[1], accounts[0]], &[]), expected);
            assert_eq!(reported(&[accounts[1], accounts[0], accounts[0]], &[]), expected);
        }
    }

    #[test]
    fn one_account_alone_is_reported() {
        use UnwindStatus::{Complete, NoRule};
        assert_eq!(reported(&[Found(2, NoRule)], &[]), (2, NoRule));
        assert_eq!(reported(&[Unwound(7, Complete)], &[]), (7, Complete));
    }

    #[test]
    fn what_is_booked_keeps_its_id() {
        use UnwindStatus::{NoRule, ReadFault};
        let accounts = [Unwound(2, ReadFault), Found(5, NoRule)];
        assert_eq!(reported(&accounts, &[WHOLE]), (2, ReadFault));
    }
}
