//! The stack walk: from each frame to its caller's, by the rule for the frame's code.
//!
//! It ends as complete only where a rule says that there is no caller. Every other end has a status of its own. Code
//! without call frame information is crossed by frame pointer, once a plausible one is there; frames from there on
//! are only likely, and the stack says so.

use core::{arch::asm, ffi::c_void};

use aya_ebpf::helpers::generated::bpf_loop;
use tracer_common::{
    CodeMap, CodeSpan, FrameWord, Memo, RuleCache, Space, SpanKind, StackHash, StackId,
    ThreadState, UnwindStatus, Walk,
    limits::MAX_FRAMES,
    unwind::{BpRule, Rule, RuleKind},
};

use crate::{
    control, memo,
    tables::{self, Found},
    window,
};

const WORD: u64 = size_of::<u64>() as u64;
/// A frame that is larger is none: most stacks as a whole are limited to half of that.
const LARGEST_FRAME: u64 = 16 << 20;
/// The furthest that a frame pointer is followed where nothing else leads on.
const LARGEST_GUESS: u64 = 1 << 20;
/// Nothing is ever mapped below.
const LOWEST: u64 = 4096;
/// Where `rt_sigframe` has the interrupted registers: bytes from the stack pointer that the handler's return
/// leaves (`struct ucontext` in `asm/ucontext.h`, `struct sigcontext` in `asm/sigcontext.h`).
const SIGNAL_BP: u64 = 40 + 10 * WORD;
const SIGNAL_SP: u64 = 40 + 15 * WORD;
const SIGNAL_IP: u64 = 40 + 16 * WORD;

/// What each step needs. Pointers are kept here, where the verifier follows them; numbers in the thread's entry, where
/// it doesn't.
pub struct Context {
    thread: *mut ThreadState,
    code: *const CodeMap,
    rules: *mut RuleCache,
    memo: *mut Memo,
}

/// What a step comes to.
enum Step {
    /// On to the caller.
    On,
    /// The stack ends here.
    End(UnwindStatus),
}

/// Walks the stack from the registers in `thread.walk.first_*`, writes its frames to `thread.stack` and gives its id.
///
/// A function of its own in the object, too: there are several places where a stack may be needed.
#[inline(never)]
pub fn walk(thread: *mut ThreadState, space: Space) -> StackId {
    if begin(thread, space)
        && let Some(mut context) = Context::of(thread)
    {
        // SAFETY: the callback gets the context that is passed here, which outlives the call.
        unsafe {
            bpf_loop(
                MAX_FRAMES as u32,
                step as *const () as *mut c_void,
                (&raw mut context).cast(),
                0,
            );
        }
    }
    end(thread)
}

/// Makes ready for the first frame; `false` where there is nothing to go by.
#[inline(always)]
pub fn begin(thread: *mut ThreadState, space: Space) -> bool {
    // SAFETY: `thread` points to a map value that belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    (walk.ip, walk.sp, walk.bp) = (walk.first_ip, walk.first_sp, walk.first_bp);
    walk.hash = StackHash::new(space).0;
    walk.status = UnwindStatus::Depth as u32;
    walk.returns = 1;
    (walk.bp_slot, walk.flags, walk.len, walk.round) = (0, 0, 0, 0);
    (walk.guessed, walk.slots, walk.needs_bp, walk.words) = (0, 0, 0, 0);
    (walk.end, walk.memo) = (0, memo::NONE);
    let Some(code) = tables::code_number(space) else {
        push(thread, FrameWord::bare(walk.ip, 0));
        walk.status = UnwindStatus::UnknownCode as u32;
        return false;
    };
    walk.code = code;
    walk.memo = memo::claim(walk.first_ip, walk.first_sp);
    // Where it fails the first frame that needs it tries again, and says so.
    let _ = window::slide(thread, walk.first_sp);
    true
}

/// Remembers the result, and gives the stack's id.
#[inline(always)]
pub fn end(thread: *mut ThreadState) -> StackId {
    // SAFETY: as above.
    let walk = unsafe { &mut (*thread).walk };
    let id = StackHash(walk.hash).finish(walk.status);
    memo::publish(thread, id);
    // SAFETY: as above.
    unsafe {
        (*thread).stack.len = walk.len;
        (*thread).stack.status = walk.status;
    }
    id
}

impl Context {
    /// The context of the walk that `thread` is at.
    #[inline(always)]
    pub fn of(thread: *mut ThreadState) -> Option<Self> {
        // SAFETY: as above.
        let (code, memo) = unsafe { ((*thread).walk.code, (*thread).walk.memo) };
        Some(Self {
            thread,
            code: tables::numbered_code(code)?,
            rules: tables::rules()?,
            memo: memo::numbered(memo)?,
        })
    }
}

/// One frame, as `bpf_loop` wants it. Gives 1 where the stack ends.
///
/// # Safety
///
/// `context` is one.
pub unsafe extern "C" fn step(_number: u64, context: *mut Context) -> i64 {
    const GO_ON: i64 = 0;
    const STOP: i64 = 1;
    // SAFETY: the caller passes one.
    let context = unsafe { &*context };
    match frame(context) {
        Step::On => GO_ON,
        Step::End(status) => {
            // SAFETY: the entry belongs to this thread alone.
            unsafe { (*context.thread).walk.status = status as u32 };
            STOP
        }
    }
}

/// Writes the present frame, and goes to its caller's.
#[inline(always)]
fn frame(context: &Context) -> Step {
    let &Context { thread, code, rules, memo } = context;
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    // SAFETY: as above.
    let zero = u64::from(unsafe { (&raw const (*thread).walk.zero).read_volatile() });
    // SAFETY: `code` points to an element of a map.
    let generation = unsafe { (*code).generation };
    let ip = walk.ip;
    // A call may be the last instruction of its function, so the return address itself may be another's.
    let pc = ip.wrapping_sub(u64::from(walk.returns));
    let found = match tables::remembered(rules, generation, pc) {
        Some(found) => found,
        None => match tables::find_span(code, pc, zero) {
            Some(number) => {
                let span = tables::span(code, number);
                let found = Found { rule: tables::find_rule(span, pc, zero), span: number };
                tables::remember(rules, generation, pc, found);
                found
            }
            None => return no_code(thread),
        },
    };
    let span = tables::span(code, found.span);
    if walk.outdated != 0 && span.stays == 0 {
        return no_code(thread); // other code may be there now
    }
    push(thread, word(span, ip, walk.flags));
    walk.flags = 0;
    let rule = found.rule;
    let kind = rule.kind();
    let mut bp_rule = rule.bp();
    let (cfa, bp_at, ra_at);
    if kind == RuleKind::Escape as u32 {
        let Some(escape) = tables::escape(span, rule.b()) else {
            return Step::End(UnwindStatus::UnsupportedRule);
        };
        let base = if escape.from_rbp != 0 { uses_bp(thread, memo) } else { walk.sp };
        let plus = |offset: i32, base: u64| base.wrapping_add(offset as i64 as u64);
        cfa = plus(escape.cfa_offset, base);
        bp_rule = u32::from(escape.bp);
        (bp_at, ra_at) = (plus(escape.bp_offset, cfa), plus(escape.ra_offset, cfa));
    } else {
        if kind == RuleKind::Rsp as u32 {
            cfa = walk.sp.wrapping_add(u64::from(rule.a()) * WORD);
        } else if kind == RuleKind::Rbp as u32 {
            cfa = uses_bp(thread, memo).wrapping_add(u64::from(rule.a()) * WORD);
        } else if kind == RuleKind::Stop as u32 {
            return Step::End(if walk.guessed == 0 {
                UnwindStatus::Complete
            } else {
                UnwindStatus::FramePointers
            });
        } else if kind == RuleKind::Deref as u32 {
            let base = if rule.deref_from_rbp() { uses_bp(thread, memo) } else { walk.sp };
            let at = base.wrapping_add((i64::from(rule.deref_offset()) * WORD as i64) as u64);
            let Some(value) = window::load(thread, at) else {
                return Step::End(UnwindStatus::ReadFault);
            };
            memo::note(memo, thread, at, value);
            cfa = value.wrapping_add((i64::from(rule.deref_add()) * WORD as i64) as u64);
        } else if kind == RuleKind::Plt as u32 {
            let pushed = if ip & 15 >= u64::from(rule.a()) { WORD } else { 0 };
            cfa = walk.sp.wrapping_add(WORD + pushed);
        } else if kind == RuleKind::Signal as u32 {
            return interrupted(thread, memo);
        } else {
            return guess(thread, memo, span, rule);
        }
        (bp_at, ra_at) = (cfa.wrapping_sub(u64::from(rule.b()) * WORD), cfa.wrapping_sub(WORD));
    }
    if cfa.wrapping_sub(walk.sp).wrapping_sub(1) >= LARGEST_FRAME {
        return Step::End(UnwindStatus::BadStack);
    }
    // What lies lower comes first, so that one copy of the stack has both.
    if bp_rule == BpRule::Saved as u32 || bp_rule == BpRule::AtBp as u32 {
        let at = if bp_rule == BpRule::Saved as u32 { bp_at } else { uses_bp(thread, memo) };
        let Some(bp) = window::load(thread, at) else {
            return Step::End(UnwindStatus::ReadFault);
        };
        (walk.bp, walk.bp_slot) = (bp, at);
    } else if bp_rule == BpRule::Lost as u32 {
        // 0, not what is left over: a rule that needs it must come to nothing.
        (walk.bp, walk.bp_slot) = (0, 0);
    }
    let Some(ra) = window::load(thread, ra_at) else {
        return Step::End(UnwindStatus::ReadFault);
    };
    memo::note(memo, thread, ra_at, ra);
    (walk.ip, walk.sp, walk.returns) = (ra, cfa, 1);
    Step::On
}

/// A signal came in: what it interrupted is on the stack, and may be anywhere in a function.
#[inline(always)]
fn interrupted(thread: *mut ThreadState, memo: *mut Memo) -> Step {
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    let at = walk.sp;
    let bp_at = at.wrapping_add(SIGNAL_BP);
    let (sp_at, ip_at) = (at.wrapping_add(SIGNAL_SP), at.wrapping_add(SIGNAL_IP));
    let Some(bp) = window::load(thread, bp_at) else {
        return Step::End(UnwindStatus::ReadFault);
    };
    let Some(sp) = window::load(thread, sp_at) else {
        return Step::End(UnwindStatus::ReadFault);
    };
    let Some(ip) = window::load(thread, ip_at) else {
        return Step::End(UnwindStatus::ReadFault);
    };
    memo::note(memo, thread, sp_at, sp);
    memo::note(memo, thread, ip_at, ip);
    (walk.bp, walk.bp_slot, walk.sp, walk.ip) = (bp, bp_at, sp, ip);
    walk.returns = 0;
    walk.flags = FrameWord::EXACT;
    Step::On
}

/// There is no rule: goes on by the frame pointer, if there seems to be one.
#[inline(always)]
fn guess(thread: *mut ThreadState, memo: *mut Memo, span: &CodeSpan, rule: Rule) -> Step {
    if rule.0 != Rule::NONE.0 {
        return Step::End(UnwindStatus::UnsupportedRule);
    }
    if span.kind == SpanKind::Pending as u32 {
        return Step::End(UnwindStatus::TablePending);
    }
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    let bp = uses_bp(thread, memo);
    if bp.wrapping_sub(walk.sp) >= LARGEST_GUESS || bp & (WORD - 1) != 0 {
        return Step::End(UnwindStatus::NoRule);
    }
    let ra_at = bp.wrapping_add(WORD);
    let Some(saved) = window::load(thread, bp) else {
        return Step::End(UnwindStatus::NoRule);
    };
    let Some(ra) = window::load(thread, ra_at) else {
        return Step::End(UnwindStatus::NoRule);
    };
    memo::note(memo, thread, ra_at, ra);
    (walk.ip, walk.sp, walk.returns) = (ra, ra_at.wrapping_add(WORD), 1);
    (walk.bp, walk.bp_slot) = (saved, bp);
    walk.guessed = 1;
    walk.flags = FrameWord::GUESSED;
    Step::On
}

/// The frame's address lies in no code that we know of.
#[inline(always)]
fn no_code(thread: *mut ThreadState) -> Step {
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    let ip = walk.ip;
    // A frame pointer led here that was none, or to where a stack simply ends.
    if walk.flags & FrameWord::GUESSED != 0 || ip < LOWEST {
        return Step::End(UnwindStatus::NoRule);
    }
    if ip == control::trampoline() {
        return Step::End(UnwindStatus::Hijacked);
    }
    push(thread, FrameWord::bare(ip, walk.flags));
    Step::End(UnwindStatus::UnknownCode)
}

/// `rbp`, and that the result depends on it.
#[inline(always)]
fn uses_bp(thread: *mut ThreadState, memo: *mut Memo) -> u64 {
    // SAFETY: the entry belongs to this thread alone.
    let walk = unsafe { &mut (*thread).walk };
    if walk.bp_slot == 0 {
        walk.needs_bp = 1;
    } else {
        memo::note(memo, thread, walk.bp_slot, walk.bp);
    }
    walk.bp
}

#[inline(always)]
fn word(span: &CodeSpan, ip: u64, flags: u64) -> FrameWord {
    let address = ip.wrapping_sub(span.bias);
    if span.module < FrameWord::MAX_MODULES && address < FrameWord::ADDRESS_END {
        FrameWord::in_module(span.module, address, flags)
    } else {
        FrameWord::bare(ip, flags)
    }
}

/// Adds a frame to the stack.
#[inline(always)]
fn push(thread: *mut ThreadState, word: FrameWord) {
    const MASK: u64 = MAX_FRAMES as u64 - 1;
    // SAFETY: the entry belongs to this thread alone.
    let walk: &mut Walk = unsafe { &mut (*thread).walk };
    let mut index = u64::from(walk.len);
    // SAFETY: changes nothing but the operand; then, the index is masked. There are no more steps than frames.
    unsafe {
        asm!("{0} &= {1}", inout(reg) index, const MASK);
        (&raw mut (*thread).stack.frames).cast::<u64>().add(index as usize).write_volatile(word.0);
    }
    walk.len += 1;
    walk.hash = StackHash(walk.hash).with(word.0).0;
}
