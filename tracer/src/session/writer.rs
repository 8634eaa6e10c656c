//! temporary
use super::{SessionError, recorder::Recorder, sink::Sink};
use crate::{cli::{Exit, TraceConfig}, target::Process};
pub(super) struct Writer { n: usize }
#[derive(Clone, Copy, Debug)]
pub(super) enum TargetEnd { Unknown, Exited(u8) }
impl Writer {
    pub(super) fn new(_c: &TraceConfig, _s: Sink, _p: &Process) -> Self { Self { n: 0 } }
    pub(super) fn iterations(&mut self, r: &Recorder) -> Result<bool, SessionError> {
        for it in &r.ledger.iterations()[self.n..] { println!("{it:?}"); self.n += 1; }
        Ok(true)
    }
    pub(super) fn finish(&mut self, r: &mut Recorder, e: TargetEnd) -> Result<Exit, SessionError> {
        println!("{:?} {:?}", r.kernel.tally()?, e);
        for s in r.ledger.stacks() { println!("{:x?} {:?} live {:?} growth {:?} {:x?}", s.key(), s.counts(), s.live(), s.growth(), r.stacks.get(&s.key()).map(|f| f.len())); }
        println!("live map {}", r.kernel.live_blocks().count());
        Ok(Exit::Done)
    }
}
