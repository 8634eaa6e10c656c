//! Stacks that the kernel side could not unwind, from a copy of their bytes.
//!
//! The steps are framehop's, which reads call frame information by itself. Where it knows none it goes by frame
//! pointers without a word, so each of its steps is held against the rule of our own tables: a stack is
//! complete only if both agree on every frame of it.

use std::{cell::Cell, ops::Range};

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

/// An unwinder, and the objects that it knows.
pub struct Deferred {
    unwinder: UnwinderX86_64<Vec<u8>>,
    cache: CacheX86_64,
    modules: Vec<Range<u64>>,
}

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
            modules: Vec::new(),
        }
    }

    /// Makes an object known at its place in the target: its code lies from `start` up to `end`, exclusive, and
    /// `bias` is what lies between an address there and that by the object's own headers; it may wrap. `object`
    /// is the file's bytes. What was known to lie there before is forgotten.
    pub fn add_module(&mut self, start: Addr, end: Addr, bias: u64, object: &[u8]) {
        self.forget(start.0..end.0);
        self.modules.push(start.0..end.0);
        if let Some((base, sections)) = sections(object) {
            let base = base.wrapping_add(bias);
            self.unwinder.add_module(Module::new(String::new(), start.0..end.0, base, sections));
        }
    }

    /// Forgets all objects: the image was replaced.
    pub fn forget_all(&mut self) {
        *self = Self::new();
    }

    /// Return addresses, innermost first, [`MAX_FRAMES`] at most; and how it ended.
    ///
    /// `ip` is the first of them, `sp` and `bp` are the registers of its frame, and `stack` is what lies from
    /// `sp` on. `rule_at` tells the rule of the code at an address, [`Rule::NONE`] where there is none.
    pub fn unwind(
        &mut self,
        ip: u64,
        sp: u64,
        bp: u64,
        stack: &[u8],
        rule_at: impl Fn(Addr) -> Rule,
    ) -> (Vec<u64>, UnwindStatus) {
        let copy = Copy { start: sp, bytes: stack, failed: Cell::new(false) };
        let mut registers = UnwindRegsX86_64::new(ip, sp, bp);
        let mut frames = Vec::new();
        let mut guessed = false;
        let status = loop {
            let ip = registers.ip();
            // A return address belongs to the call before it.
            let call = ip.wrapping_sub(1);
            if !self.modules.iter().any(|module| module.contains(&call)) {
                if guessed && !frames.is_empty() {
                    break UnwindStatus::NoRule;
                }
                frames.push(ip);
                break UnwindStatus::UnknownCode;
            }
            frames.push(ip);
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

    fn forget(&mut self, place: Range<u64>) {
        let Self { unwinder, modules, .. } = self;
        modules.retain(|module| {
            let apart = module.end <= place.start || place.end <= module.start;
            if !apart {
                unwinder.remove_module(module.start);
            }
            apart
        });
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

/// An object's call frame information, and the lowest address by its own headers; `None` where it is no object.
fn sections(object: &[u8]) -> Option<(u64, ExplicitModuleSectionInfo<Vec<u8>>)> {
    let elf = Elf::parse(object).ok()?;
    let loaded = elf.segments.iter().filter(|it| it.p_type(ENDIAN) == PT_LOAD);
    let base = loaded.map(|it| it.p_vaddr(ENDIAN)).min()?;
    let mut sections = ExplicitModuleSectionInfo { base_svma: base, ..Default::default() };
    if let Some(found) = EhSection::find(&elf) {
        let bytes = found.frames.reader().slice();
        let start = found.address.0;
        sections.eh_frame_svma = Some(start..start.saturating_add(bytes.len() as u64));
        sections.eh_frame = Some(bytes.to_vec());
    } else if let Some(frames) = section::debug_frame(&elf) {
        sections.debug_frame = Some(frames.reader().slice().to_vec());
    }
    Some((base, sections))
}
