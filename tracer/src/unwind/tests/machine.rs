//! One step from a frame to its caller's on a machine that doesn't exist, once by our rules and once by
//! gimli's rows: the results must be the same.

use gimli::{
    CfaRule, Encoding, EndianSlice, EvaluationResult, LittleEndian, Location, Register,
    RegisterRule, UnwindExpression, UnwindSection, UnwindTableRow, Value, X86_64,
};
use tracer_common::unwind::{BpRule, Escape, Rule, RuleKind};

use super::super::Table;

type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// Registers that no two rules give the same result for.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    pub(super) sp: u64,
    pub(super) bp: u64,
    pub(super) ip: u64,
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There is no call frame information.
    Nothing,
    /// There is some that no rule of ours can express.
    Other(&'static str),
    /// The outermost function.
    Outermost,
    /// The caller's frame.
    Caller {
        cfa: u64,
        /// Where the return address lies.
        ra: u64,
        /// The caller's `rbp`; `None` where it is lost.
        bp: Option<u64>,
    },
}

impl Machine {
    /// Memory has something else at each address.
    fn memory(address: u64) -> u64 {
        (address ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
    }

    /// By our rule, as [`Rule`] documents it.
    pub(super) fn by_rule(&self, table: &Table, rule: Rule) -> Outcome {
        let register = |from_rbp| if from_rbp { self.bp } else { self.sp };
        let at = |base: u64, offset: i64| base.wrapping_add_signed(offset);
        let (cfa, ra_offset, bp_offset) = match rule.kind() {
            kind if kind == RuleKind::Invalid as u32 => {
                return match rule {
                    Rule::NONE => Outcome::Nothing,
                    Rule::UNSUPPORTED => Outcome::Other(""),
                    _ => panic!("{rule:?} means nothing"),
                };
            }
            kind if kind == RuleKind::Stop as u32 => return Outcome::Outermost,
            kind if kind == RuleKind::Signal as u32 => {
                let bp = Some(Self::memory(self.sp + 120));
                return Outcome::Caller { cfa: Self::memory(self.sp + 160), ra: self.sp + 168, bp };
            }
            kind if kind == RuleKind::Escape as u32 => {
                let Escape { cfa_offset, ra_offset, bp_offset, from_rbp, bp, _pad: pad } =
                    table.escape(rule.b()).unwrap();
                assert_eq!((pad, from_rbp & !1), (0, 0));
                let cfa = at(register(from_rbp == 1), cfa_offset.into());
                return self.caller(cfa, ra_offset.into(), u32::from(bp), bp_offset.into());
            }
            kind if kind == RuleKind::Plt as u32 => {
                let more = if self.ip & 15 >= u64::from(rule.a()) { 8 } else { 0 };
                (self.sp + 8 + more, -8, 0)
            }
            kind if kind == RuleKind::Deref as u32 => {
                let place = at(register(rule.deref_from_rbp()), i64::from(rule.deref_offset()) * 8);
                assert_ne!(rule.bp(), BpRule::Saved as u32);
                (at(Self::memory(place), i64::from(rule.deref_add()) * 8), -8, 0)
            }
            kind => {
                let cfa = at(register(kind == RuleKind::Rbp as u32), i64::from(rule.a()) * 8);
                (cfa, -8, -8 * i64::from(rule.b()))
            }
        };
        self.caller(cfa, ra_offset, rule.bp(), bp_offset)
    }

    fn caller(&self, cfa: u64, ra_offset: i64, bp: u32, bp_offset: i64) -> Outcome {
        let bp = match bp {
            it if it == BpRule::Same as u32 => Some(self.bp),
            it if it == BpRule::Saved as u32 => {
                Some(Self::memory(cfa.wrapping_add_signed(bp_offset)))
            }
            it if it == BpRule::AtBp as u32 => Some(Self::memory(self.bp)),
            _ => None,
        };
        Outcome::Caller { cfa, ra: cfa.wrapping_add_signed(ra_offset), bp }
    }

    /// By gimli's row, as DWARF says.
    pub(super) fn by_row<'data>(
        &self,
        row: &UnwindTableRow<usize>,
        section: &impl UnwindSection<Slice<'data>>,
        encoding: Encoding,
    ) -> Outcome {
        let evaluate = |expression: &UnwindExpression<usize>, cfa: Option<u64>| {
            self.evaluate(expression, section, encoding, cfa)
        };
        if row.register(X86_64::RA) == RegisterRule::Undefined {
            return Outcome::Outermost;
        }
        let (cfa, uses_bp) = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => match self.register(*register) {
                Some(value) => (value.wrapping_add_signed(*offset), *register == X86_64::RBP),
                None => return Outcome::Other("CFA from another register"),
            },
            CfaRule::Expression(expression) => match evaluate(expression, None) {
                Some((value, uses_bp)) => (value, uses_bp),
                None => return Outcome::Other("CFA by another expression"),
            },
        };
        let ra = match row.register(X86_64::RA) {
            RegisterRule::Offset(offset) => cfa.wrapping_add_signed(offset),
            RegisterRule::Expression(place) => match evaluate(&place, Some(cfa)) {
                Some((place, _)) => place,
                None => return Outcome::Other("return address by another expression"),
            },
            RegisterRule::Register(_) => return Outcome::Other("return address in a register"),
            _ => return Outcome::Other("return address otherwise"),
        };
        let bp = match row.register(X86_64::RBP) {
            RegisterRule::Undefined if uses_bp => None,
            RegisterRule::Undefined | RegisterRule::SameValue => Some(self.bp),
            RegisterRule::Offset(offset) => Some(Self::memory(cfa.wrapping_add_signed(offset))),
            RegisterRule::Expression(place) => match evaluate(&place, Some(cfa)) {
                Some((place, _)) => Some(Self::memory(place)),
                None => return Outcome::Other("rbp by another expression"),
            },
            _ => return Outcome::Other("rbp otherwise"),
        };
        Outcome::Caller { cfa, ra, bp }
    }

    fn register(&self, register: Register) -> Option<u64> {
        match register {
            X86_64::RSP => Some(self.sp),
            X86_64::RBP => Some(self.bp),
            X86_64::RA => Some(self.ip),
            _ => None,
        }
    }

    /// The value, and whether `rbp` is a part of it; `None` where it takes another register.
    fn evaluate<'data>(
        &self,
        expression: &UnwindExpression<usize>,
        section: &impl UnwindSection<Slice<'data>>,
        encoding: Encoding,
        cfa: Option<u64>,
    ) -> Option<(u64, bool)> {
        let mut evaluation = expression.get(section).unwrap().evaluation(encoding);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut uses_bp = false;
        let mut result = evaluation.evaluate().unwrap();
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    uses_bp |= register == X86_64::RBP;
                    let value = Value::Generic(self.register(register)?);
                    evaluation.resume_with_register(value).unwrap()
                }
                EvaluationResult::RequiresMemory { address, .. } => {
                    let value = Value::Generic(Self::memory(address));
                    evaluation.resume_with_memory(value).unwrap()
                }
                other => panic!("{other:?}"),
            };
        }
        let pieces = evaluation.result();
        let [piece] = &pieces[..] else { return None };
        let Location::Address { address } = piece.location else { return None };
        Some((address, uses_bp))
    }
}
