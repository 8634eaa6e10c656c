//! A row of call frame information as a rule for the kernel side.

use gimli::{
    CfaRule, Encoding, Operation, Register, RegisterRule, UnwindExpression, UnwindSection,
    UnwindTableRow, X86_64,
};
use tracer_common::unwind::{BpRule, Escape, Rule, RuleKind};

use super::section::Slice;

/// Bytes of a word on the stack.
const WORD: i64 = 8;
/// Where the return address lies nearly always: bytes from the CFA.
const RA: i64 = -WORD;
/// Where the kernel puts the interrupted registers for a signal handler's return: bytes from `rsp`, which
/// points to a `ucontext_t` there.
const SIGNAL_BP: i64 = 120;
const SIGNAL_SP: i64 = 160;
const SIGNAL_IP: i64 = 168;
/// Operations of the longest expression that is understood.
const MAX_OPERATIONS: usize = 9;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It fits into a rule.
    Rule(Rule),
    /// It takes a rule that refers to this.
    Escape(Escape),
}

/// What a row's expressions and registers mean.
pub(super) struct Reader<'a, S> {
    pub(super) section: &'a S,
    pub(super) encoding: Encoding,
    /// Whether the row is of a signal handler's return.
    pub(super) signal: bool,
}

impl<'data, S: UnwindSection<Slice<'data>>> Reader<'_, S> {
    /// What to do where the row holds.
    pub(super) fn step(&self, row: &UnwindTableRow<usize>) -> Step {
        let ra = row.register(X86_64::RA);
        if ra == RegisterRule::Undefined {
            return Step::Rule(Rule::STOP);
        }
        if self.signal {
            let standard = self.is_standard_signal(row);
            return Step::Rule(if standard { Rule::SIGNAL } else { Rule::UNSUPPORTED });
        }
        let RegisterRule::Offset(ra) = ra else { return Step::Rule(Rule::UNSUPPORTED) };
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                self.relative(row, *register, *offset, ra)
            }
            CfaRule::Expression(expression) => {
                Some(Step::Rule(self.computed(row, expression, ra).unwrap_or(Rule::UNSUPPORTED)))
            }
        }
        .unwrap_or(Step::Rule(Rule::UNSUPPORTED))
    }

    /// A CFA at a distance from a register.
    fn relative(
        &self,
        row: &UnwindTableRow<usize>,
        register: Register,
        offset: i64,
        ra: i64,
    ) -> Option<Step> {
        let from_rbp = base(register)?;
        let (bp, bp_offset) = self.bp(row, from_rbp)?;
        let fits = || {
            let a = words(offset, Rule::A_END)?;
            let b = words(-bp_offset, Rule::B_END)?;
            let kind = if from_rbp { RuleKind::Rbp } else { RuleKind::Rsp };
            (ra == RA).then(|| Step::Rule(Rule::new(kind, bp, a, b)))
        };
        let escape = || {
            Some(Step::Escape(Escape {
                cfa_offset: i32::try_from(offset).ok()?,
                ra_offset: i32::try_from(ra).ok()?,
                bp_offset: i32::try_from(bp_offset).ok()?,
                from_rbp: from_rbp.into(),
                bp: bp as u8,
                _pad: 0,
            }))
        };
        fits().or_else(escape)
    }

    /// A CFA by expression.
    fn computed(
        &self,
        row: &UnwindTableRow<usize>,
        cfa: &UnwindExpression<usize>,
        ra: i64,
    ) -> Option<Rule> {
        let operations = self.operations(cfa)?;
        if ra != RA {
            return None;
        }
        if let Some(threshold) = plt_threshold(&operations) {
            let (BpRule::Same, _) = self.bp(row, false)? else { return None };
            return Some(Rule::new(RuleKind::Plt, BpRule::Same, threshold, 0));
        }
        let (register, offset, add) = pointed_to(&operations)?;
        let from_rbp = base(register)?;
        match self.bp(row, from_rbp)? {
            // The rule has no room left for where it is.
            (BpRule::Saved, _) => None,
            (bp, _) => Some(Rule::deref(bp, from_rbp, signed_words(offset)?, signed_words(add)?)),
        }
    }

    /// Where the caller's `rbp` is, and how many bytes from the CFA if it is there.
    fn bp(&self, row: &UnwindTableRow<usize>, cfa_from_rbp: bool) -> Option<(BpRule, i64)> {
        match row.register(X86_64::RBP) {
            // Callee-saved, so without a rule it has not been touched; unless the function uses it itself.
            RegisterRule::Undefined if cfa_from_rbp => Some((BpRule::Lost, 0)),
            RegisterRule::Undefined | RegisterRule::SameValue => Some((BpRule::Same, 0)),
            RegisterRule::Offset(offset) => Some((BpRule::Saved, offset)),
            RegisterRule::Expression(place) => {
                let at_bp = self.is_register_plus(&place, X86_64::RBP, 0);
                at_bp.then_some((BpRule::AtBp, 0))
            }
            _ => None,
        }
    }

    fn is_standard_signal(&self, row: &UnwindTableRow<usize>) -> bool {
        let CfaRule::Expression(cfa) = row.cfa() else { return false };
        let sp = self.operations(cfa).and_then(|operations| pointed_to(&operations));
        let at = |register, offset| match row.register(register) {
            RegisterRule::Expression(place) => self.is_register_plus(&place, X86_64::RSP, offset),
            _ => false,
        };
        sp == Some((X86_64::RSP, SIGNAL_SP, 0))
            && at(X86_64::RBP, SIGNAL_BP)
            && at(X86_64::RA, SIGNAL_IP)
    }

    fn is_register_plus(
        &self,
        expression: &UnwindExpression<usize>,
        register: Register,
        offset: i64,
    ) -> bool {
        let operations = self.operations(expression);
        operations.is_some_and(|it| {
            matches!(it[..], [Operation::RegisterOffset { register: r, offset: o, .. }]
                if r == register && o == offset)
        })
    }

    /// `None` where it is malformed, or longer than anything that is understood.
    fn operations(
        &self,
        expression: &UnwindExpression<usize>,
    ) -> Option<Vec<Operation<Slice<'data>>>> {
        let mut rest = expression.get(self.section).ok()?.operations(self.encoding);
        let mut operations = Vec::with_capacity(MAX_OPERATIONS);
        while let Some(operation) = rest.next().ok()? {
            if operations.len() == MAX_OPERATIONS {
                return None;
            }
            operations.push(operation);
        }
        Some(operations)
    }
}

/// Whether it is `rbp`; `None` unless it is that or `rsp`. No other register is followed.
fn base(register: Register) -> Option<bool> {
    match register {
        X86_64::RSP => Some(false),
        X86_64::RBP => Some(true),
        _ => None,
    }
}

/// A number of bytes in words, if it is one and below `end`.
fn words(bytes: i64, end: u32) -> Option<u32> {
    let words = u32::try_from(bytes / WORD).ok()?;
    (bytes % WORD == 0 && words < end).then_some(words)
}

/// A number of bytes in words, if it is one and fits into a `Deref` rule.
fn signed_words(bytes: i64) -> Option<i32> {
    let words = i32::try_from(bytes / WORD).ok()?;
    let half = (Rule::B_END / 2) as i32;
    (bytes % WORD == 0 && (-half..half).contains(&words)).then_some(words)
}

/// `*(register + offset) + add`, where the compiler realigns the stack.
fn pointed_to(operations: &[Operation<Slice<'_>>]) -> Option<(Register, i64, i64)> {
    let [
        Operation::RegisterOffset { register, offset, .. },
        Operation::Deref { size: 8, .. },
        add @ ..,
    ] = operations
    else {
        return None;
    };
    let add = match add {
        [] => 0,
        [Operation::PlusConstant { value }]
        | [Operation::UnsignedConstant { value }, Operation::Plus] => i64::try_from(*value).ok()?,
        [Operation::SignedConstant { value }, Operation::Plus] => *value,
        _ => return None,
    };
    Some((*register, *offset, add))
}

/// The expression that linkers write for a procedure linkage table: `rsp + 8 + ((rip & 15) >= n) * 8`. The `n`.
fn plt_threshold(operations: &[Operation<Slice<'_>>]) -> Option<u32> {
    let [
        Operation::RegisterOffset { register: X86_64::RSP, offset: WORD, .. },
        Operation::RegisterOffset { register: X86_64::RA, offset: 0, .. },
        Operation::UnsignedConstant { value: 15 },
        Operation::And,
        Operation::UnsignedConstant { value: threshold @ 10..=11 },
        Operation::Ge,
        Operation::UnsignedConstant { value: 3 },
        Operation::Shl,
        Operation::Plus,
    ] = operations
    else {
        return None;
    };
    Some(*threshold as u32)
}
