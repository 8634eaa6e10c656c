//! Stacks that the kernel side could not unwind, from a copy of their bytes.
//!
//! The steps are framehop's, which reads call frame information by itself. Where it knows none it goes by frame
//! pointers without a word, so each of its steps is held against the rule of our own tables: a stack is
//! complete only if both agree on every frame of it.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, MayAllocateDuringUnwind, Module, Unwinder as _,
    x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64},
};
use gimli::Section as _;
use object::{elf::PT_LOAD, read::elf::ProgramHeader};
use tracer_common::{
    UnwindStatus,
    limits::MAX_FRAMES,
    unwind::{Rule, RuleKind},
};

use super::section::{self, EhSection};
use crate::{
    sites::elf::{ENDIAN, Elf},
    units::Addr,
};

const WORD: u64 = 8;
/// How far apart two frame pointers are at most, where nothing but these leads on.
const MAX_GUESSED_FRAME: u64 = 1 << 20;

/// An object's code at its place in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: Addr,
    /// The address after its last.
    pub end: Addr,
    /// What lies between an address there and that by the object's own headers; it may wrap.
    pub bias: u64,
    /// The object's number, the same whenever it is mapped.
    pub object: u32,
}

/// A frame of such a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeferredFrame {
    /// Its code address, a return address.
    pub ip: u64,
    /// Its stack pointer; the next frame's is its end.
    pub sp: u64,
}

/// An unwinder, and the objects that it knows.
///
/// An object is read when a stack leads to it for the first time, and of it only the call frame information is kept.
pub struct Deferred {
    unwinder: UnwinderX86_64<Arc<[u8]>>,
    cache: CacheX86_64,
    code: BTreeMap<u64, Mapping>,
    /// Those that the unwinder has, by first address.
    added: BTreeSet<u64>,
    /// The objects that were read; `None` for what is none.
    objects: HashMap<u32, Option<Sections>>,
}

/// An object's call frame information.
type Sections = ExplicitModuleSectionInfo<Arc<[u8]>>;

impl Default for Deferred {
    fn default() -> Self {
        Self::new()
    }
}

impl Deferred {
    /// One that knows no objects.
    pub fn new() -> Self {
        Self {
            unwinder: UnwinderX86_64::new(),
            cache: CacheX86_64::<MayAllocateDuringUnwind>::new(),
            code: BTreeMap::new(),
            added: BTreeSet::new(),
            objects: HashMap::new(),
        }
    }

    /// Makes known what is mapped from now on. What was there before is kept as it is.
    pub fn set_code(&mut self, code: impl IntoIterator<Item = Mapping>) {
        let new = code.into_iter().map(|mapping| (mapping.start.0, mapping)).collect();
        let old = std::mem::replace(&mut self.code, new);
        for (start, mapping) in old {
            if self.code.get(&start) != Some(&mapping) && self.added.remove(&start) {
                self.unwinder.remove_module(start);
            }
        }
    }

    /// Has the unwinder know the object at an address; `false` where none is mapped.
    fn know(&mut self, address: u64, read: &mut impl FnMut(u32) -> Option<Vec<u8>>) -> bool {
        let Some((&start, mapping)) = self.code.range(..=address).next_back() else { return false };
        if address >= mapping.end.0 {
            return false;
        }
        if self.added.insert(start) {
            let load = || read(mapping.object).as_deref().and_then(sections);
            if let Some(found) = self.objects.entry(mapping.object).or_insert_with(load) {
                let base = found.base_svma.wrapping_add(mapping.bias);
                let place = start..mapping.end.0;
                self.unwinder.add_module(Module::new(String::new(), place, base, found.clone()));
            }
        }
        true
    }

    /// Frames, innermost first, [`MAX_FRAMES`] at most; and how it ended.
    ///
    /// `ip`, `sp` and `bp` are the registers of the first of them, and `stack` is what lies from
    /// `sp` on. `rule_at` tells the rule of the code at an address, [`Rule::NONE`] where there is none. `read` gives
    /// the bytes of an object.
    pub fn unwind(
        &mut self,
        ip: u64,
        sp: u64,
        bp: u64,
        stack: &[u8],
        rule_at: impl Fn(Addr) -> Rule,
        mut read: impl FnMut(u32) -> Option<Vec<u8>>,
    ) -> (Vec<DeferredFrame>, UnwindStatus) {
        let copy = Copy { start: sp, bytes: stack, failed: Cell::new(false) };
        let mut registers = UnwindRegsX86_64::new(ip, sp, bp);
        let mut frames = Vec::new();
        let mut guessed = false;
        let status = loop {
            let ip = registers.ip();
            let frame = DeferredFrame { ip, sp: registers.sp() };
            // A return address belongs to the call before it.
            let call = ip.wrapping_sub(1);
            if !self.know(call, &mut read) {
                if guessed && !frames.is_empty() {
                    break UnwindStatus::NoRule;
                }
                frames.push(frame);
                break UnwindStatus::UnknownCode;
            }
            frames.push(frame);
            let rule = rule_at(Addr(call));
            if rule == Rule::STOP {
                break if guessed { UnwindStatus::FramePointers } else { UnwindStatus::Complete };
            }
            if frames.len() == MAX_FRAMES {
                break UnwindStatus::Depth;
            }
            let step = self.step(&mut registers, rule, &copy);
            if let Err(status) = step {
                break status;
            }
            guessed |= rule == Rule::NONE;
        };
        (frames, status)
    }

    /// From a frame to its caller's, by framehop, but only where it has to lead to the CFA that the rule says.
    fn step(
        &mut self,
        registers: &mut UnwindRegsX86_64,
        rule: Rule,
        copy: &Copy<'_>,
    ) -> Result<(), UnwindStatus> {
        let (sp, bp) = (registers.sp(), registers.bp());
        let cfa = match rule.kind() {
            _ if rule == Rule::NONE => {
                let near = bp.wrapping_sub(sp) < MAX_GUESSED_FRAME && bp % WORD == 0;
                near.then_some(bp).ok_or(UnwindStatus::NoRule)?.wrapping_add(2 * WORD)
            }
            kind if kind == RuleKind::Rsp as u32 => sp.wrapping_add(u64::from(rule.a()) * WORD),
            kind if kind == RuleKind::Rbp as u32 => bp.wrapping_add(u64::from(rule.a()) * WORD),
            // It would take frame pointers for the expressions of these, or cut their offsets to words.
            _ => return Err(UnwindStatus::UnsupportedRule),
        };
        if cfa <= sp || cfa % WORD != 0 {
            return Err(UnwindStatus::BadStack);
        }
        let address = FrameAddress::from_return_address(registers.ip());
        let address = address.ok_or(UnwindStatus::BadStack)?;
        let mut read = |address| copy.read(address);
        let next = self.unwinder.unwind_frame(address, registers, &mut self.cache, &mut read);
        if copy.failed.get() {
            return Err(UnwindStatus::ReadFault);
        }
        match next {
            Ok(Some(_)) if registers.sp() == cfa => Ok(()),
            _ if rule == Rule::NONE => Err(UnwindStatus::NoRule),
            // A return address of zero, or a stack that turns back.
            Ok(None) | Err(_) => Err(UnwindStatus::BadStack),
            Ok(Some(_)) => Err(UnwindStatus::UnsupportedRule),
        }
    }
}

/// Bytes of the target's stack.
struct Copy<'a> {
    start: u64,
    bytes: &'a [u8],
    /// Whether anything was asked for that the copy doesn't have. framehop keeps quiet about some of it.
    failed: Cell<bool>,
}

impl Copy<'_> {
    fn read(&self, address: u64) -> Result<u64, ()> {
        let at = usize::try_from(address.wrapping_sub(self.start)).ok();
        let bytes = at.and_then(|at| self.bytes.get(at..)?.first_chunk());
        self.failed.set(self.failed.get() || bytes.is_none());
        bytes.map(|bytes| u64::from_le_bytes(*bytes)).ok_or(())
    }
}

/// `None` where it is no object.
fn sections(object: &[u8]) -> Option<Sections> {
    let elf = Elf::parse(object).ok()?;
    let loaded = elf.segments.iter().filter(|it| it.p_type(ENDIAN) == PT_LOAD);
    let base = loaded.map(|it| it.p_vaddr(ENDIAN)).min()?;
    let mut sections = Sections { base_svma: base, ..Default::default() };
    if let Some(found) = EhSection::find(&elf) {
        let bytes = found.frames.reader().slice();
        let start = found.address.0;
        sections.eh_frame_svma = Some(start..start.saturating_add(bytes.len() as u64));
        sections.eh_frame = Some(bytes.into());
        if let Some((address, bytes)) = found.index.and_then(|_| section::eh_frame_hdr(&elf)) {
            // Saves it from making an index of its own.
            sections.eh_frame_hdr_svma =
                Some(address.0..address.0.saturating_add(bytes.len() as u64));
            sections.eh_frame_hdr = Some(bytes.into());
        }
    } else if let Some(frames) = section::debug_frame(&elf) {
        sections.debug_frame = Some(frames.reader().slice().into());
    }
    Some(sections)
}
