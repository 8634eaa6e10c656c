//! Which unwind table is for which object, and what the kernel side is told of it.

use std::{
    collections::HashMap,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use bytesize::ByteSize;
use tracer_common::{
    CODE_MAPS, CodeSpan, FrameWord, KernelState, LINKING_ADDS, Space, SpanKind, unwind::Rule,
};

use super::{
    SessionError,
    builder::{BuildError, Builder, Built, ObjectTables, Placed, Source},
};
use crate::{
    bpf::{Kernel, TableId},
    target::{Location, ModuleId, Modules, Span},
    units::Addr,
};

/// Code maps that are kept for those that bring tables.
const SPARE_CODE_MAPS: usize = CODE_MAPS as usize / 2;

/// The tables of all objects of a run, and what of them is in use.
#[derive(Debug)]
pub(super) struct Unwinding {
    builder: Builder,
    /// Objects that the builder was given.
    asked: usize,
    paths: Vec<PathBuf>,
    /// What came back.
    tables: HashMap<ModuleId, ObjectTables>,
    rows: usize,
    /// The code as it was read last, and the address space that it was read in.
    code: Vec<Span>,
    space: Space,
    /// How often objects had been unloaded before it was read, and after.
    removals: (u64, u64),
    published: Option<(Space, Vec<(u64, CodeSpan)>)>,
    version: u64,
    target_runs: bool,
    warned_tables: bool,
    warned_modules: bool,
}

impl Unwinding {
    /// Knows no object.
    ///
    /// # Errors
    ///
    /// Where no thread can be started.
    pub(super) fn new(kernel: &Kernel) -> Result<Self, SessionError> {
        Ok(Self {
            builder: Builder::start(kernel.tables())?,
            asked: 0,
            paths: Vec::new(),
            tables: HashMap::new(),
            rows: 0,
            code: Vec::new(),
            space: Space(0),
            removals: (0, 1), // not read yet
            published: None,
            version: 0,
            target_runs: false,
            warned_tables: false,
            warned_modules: false,
        })
    }

    /// From now on what is mapped anew is made known at once, its tables as they come.
    pub(super) fn target_runs(&mut self) {
        self.target_runs = true;
        self.builder.hurry();
    }

    /// Has tables made for the objects that are new, and takes note of where all of them lie. `before` and `after` are
    /// the kernel side's state before and after the mappings were read.
    ///
    /// # Errors
    ///
    /// Where the kernel side can't be told.
    pub(super) fn look(
        &mut self,
        kernel: &mut Kernel,
        modules: &Modules,
        before: &KernelState,
        after: &KernelState,
    ) -> Result<(), SessionError> {
        let mut new = Vec::new();
        for module in &modules.all()[self.asked..] {
            let image = modules.vdso().filter(|(id, _)| *id == module.id).map(|(_, image)| image);
            self.asked += 1;
            self.paths.push(module.path.clone());
            match (&module.file, image) {
                (Some(file), _) => new.push((module.id, Source::File(file.clone()))),
                (None, Some(image)) => new.push((module.id, Source::Image(image))),
                (None, None) => drop(self.tables.insert(module.id, ObjectTables::default())),
            }
            if module.id.0 >= FrameWord::MAX_MODULES && !self.warned_modules {
                self.warned_modules = true;
                tracing::warn!(
                    "more than {} objects were mapped: frames in those that came later have no name",
                    FrameWord::MAX_MODULES
                );
            }
        }
        self.builder.add(new);
        if self.is_in_vain(before) || self.is_in_vain(after) {
            return Ok(());
        }
        self.code = modules.spans().collect();
        self.space = Space(before.space);
        let any_removed = self.removals.0 != before.removals;
        self.removals = (before.removals, after.removals);
        // The tables that are asked for come soon, and are made known with the code: that it is there is said
        // before only as long as nobody has to wait for that.
        let is_urgent =
            any_removed || !self.is_pending() || kernel.free_code_maps() > SPARE_CODE_MAPS;
        if self.target_runs && is_urgent { self.publish(kernel) } else { Ok(()) }
    }

    /// Whether it is of no use to look now: what is being loaded is taken out again where that fails, which is no
    /// unloading. The end of the loading is told.
    pub(super) fn is_in_vain(&self, state: &KernelState) -> bool {
        self.target_runs && state.linking == LINKING_ADDS
    }

    /// Waits for all tables, and makes them known.
    ///
    /// # Errors
    ///
    /// Where the kernel side can't be told.
    pub(super) fn finish(&mut self, kernel: &mut Kernel) -> Result<(), SessionError> {
        let start = Instant::now();
        let before = self.tables.len();
        while self.is_pending() {
            let Some(built) = self.builder.next() else { break };
            self.keep(built);
        }
        self.publish(kernel)?;
        if self.tables.len() > before {
            tracing::debug!(
                "unwind tables of {} objects: {} rows, {}; waited {:.1} ms for them",
                self.tables.len(),
                self.rows,
                ByteSize(kernel.tables().bytes()).display().iec(),
                milliseconds(start.elapsed()),
            );
        }
        Ok(())
    }

    /// Makes known what has been finished meanwhile.
    ///
    /// # Errors
    ///
    /// Where the kernel side can't be told.
    pub(super) fn take_finished(&mut self, kernel: &mut Kernel) -> Result<(), SessionError> {
        let before = self.tables.len();
        self.builder.clear_signal();
        while let Some(built) = self.builder.try_next() {
            self.keep(built);
        }
        if self.target_runs && self.tables.len() > before { self.publish(kernel) } else { Ok(()) }
    }

    /// A descriptor that is readable when [`Unwinding::take_finished`] has something to do.
    ///
    /// # Errors
    ///
    /// Where the process has no descriptors left.
    pub(super) fn finished_fd(&self) -> io::Result<OwnedFd> {
        self.builder.signal()
    }

    /// Whether tables are still to come.
    pub(super) fn is_pending(&self) -> bool {
        self.tables.len() < self.asked
    }

    /// The rule for an instruction of the target; none where there is no table.
    pub(super) fn rule_at(&self, modules: &Modules, address: Addr) -> Rule {
        let Some(Location::InModule(module, address)) = modules.find(address) else {
            return Rule::NONE;
        };
        let built = self.tables.get(&module).and_then(|tables| tables.built.as_ref());
        built.map_or(Rule::NONE, |built| built.rule_at(address))
    }

    /// Changes whenever what the kernel side knows does; 0 before that knows anything.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The address space whose code it knows.
    pub(super) fn space(&self) -> Space {
        self.space
    }

    /// The count of removals that the code was mapped at, as far as we know it; `None` where that is not certain.
    pub(super) fn removals(&self) -> Option<u64> {
        let (before, after) = self.removals;
        (before == after).then_some(before)
    }

    fn publish(&mut self, kernel: &mut Kernel) -> Result<(), SessionError> {
        let spans = code_spans(&self.code, &self.tables);
        let published = self.published.as_ref();
        if published.is_none_or(|(space, old)| *space != self.space || *old != spans) {
            kernel.publish_code(self.space, &spans)?;
            self.published = Some((self.space, spans));
            self.version += 1;
        }
        Ok(kernel.set_known_removals(self.removals.0)?)
    }

    fn keep(&mut self, built: Built) {
        let Built { module, tables, took } = built;
        let path = self.paths.get(module.0 as usize).cloned().unwrap_or_default();
        let path = path.display();
        let tables = tables.unwrap_or_else(|error| {
            let is_ours = matches!(error, BuildError::Kernel(_));
            let error = anyhow::Error::new(error);
            if is_ours && !std::mem::replace(&mut self.warned_tables, true) {
                tracing::warn!("no unwind table for {path}: {error:#}");
            } else {
                tracing::debug!("no unwind table for {path}: {error:#}");
            }
            ObjectTables::default()
        });
        if let Some(built) = &tables.built {
            self.rows += built.rows;
            tracing::debug!(
                "unwind table for {path}: {} rows, {} unsupported; {} in {:.1} ms",
                built.rows,
                built.unsupported,
                ByteSize(tables.bytes()).display().iec(),
                milliseconds(took),
            );
        }
        self.tables.insert(module, tables);
    }
}

/// Where code lies as the kernel side is told, by address.
fn code_spans(code: &[Span], tables: &HashMap<ModuleId, ObjectTables>) -> Vec<(u64, CodeSpan)> {
    let mut spans = Vec::with_capacity(code.len());
    for span in code {
        match span.module {
            Some((module, bias)) => object_spans(&mut spans, span, module, bias, tables),
            None => spans.push((
                span.start.0,
                CodeSpan {
                    end: span.end.0,
                    module: u32::MAX,
                    kind: SpanKind::Anonymous as u32,
                    ..CodeSpan::default()
                },
            )),
        }
    }
    spans.sort_unstable_by_key(|(start, _)| *start);
    spans
}

/// The parts of a mapping that have a table each, and what lies between them.
fn object_spans(
    spans: &mut Vec<(u64, CodeSpan)>,
    span: &Span,
    module: ModuleId,
    bias: u64,
    tables: &HashMap<ModuleId, ObjectTables>,
) {
    let (mut at, end) = (span.start.0, span.end.0);
    let plain = |end, kind: SpanKind| CodeSpan {
        end,
        bias,
        module: module.0,
        kind: kind as u32,
        stays: span.stays.into(),
        ..CodeSpan::default()
    };
    let Some(tables) = tables.get(&module) else {
        spans.push((at, plain(end, SpanKind::Pending)));
        return;
    };
    for table in tables.placed.iter() {
        let origin = table.origin.0.wrapping_add(bias);
        let first = origin.max(at);
        let last = table.end.0.wrapping_add(bias).min(end);
        if first >= last {
            continue;
        }
        if at < first {
            spans.push((at, plain(first, SpanKind::Bare)));
        }
        let &Placed { table: TableId(table), root, leaves, .. } = table;
        let with_table = plain(last, SpanKind::Table);
        spans.push((first, CodeSpan { origin, table, root, leaves, ..with_table }));
        at = last;
    }
    if at < end {
        spans.push((at, plain(end, SpanKind::Bare)));
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ElfAddr;

    fn tables(placed: &[Placed]) -> ObjectTables {
        ObjectTables { placed: placed.into(), ..ObjectTables::default() }
    }

    fn placed(number: u32, origin: u64, end: u64) -> Placed {
        let (origin, end) = (ElfAddr(origin), ElfAddr(end));
        Placed { table: TableId(number), root: 5, leaves: 2, origin, end }
    }

    fn span(start: u64, end: u64, module: Option<(u32, u64)>) -> Span {
        let module = module.map(|(id, bias)| (ModuleId(id), bias));
        Span { start: Addr(start), end: Addr(end), module, stays: false }
    }

    fn seen(spans: &[(u64, CodeSpan)]) -> Vec<(u64, u64, u32, u32)> {
        spans.iter().map(|(start, span)| (*start, span.end, span.kind, span.table)).collect()
    }

    #[test]
    fn a_mapping_is_split_by_its_tables() {
        let code = [
            span(0x9000, 0xa000, None),
            span(0x5000, 0x8000, Some((1, 0x4000))),
            span(0x1000, 0x2000, Some((0, 0x1000))),
            span(0x3000, 0x4000, Some((2, 0x3000))),
        ];
        let two = [placed(7, 0x1100, 0x2000), placed(8, 0x2000, 0x3f00)];
        let tables =
            HashMap::from([(ModuleId(1), tables(&two)), (ModuleId(2), ObjectTables::default())]);
        let spans = code_spans(&code, &tables);
        let expected = [
            (0x1000, 0x2000, SpanKind::Pending as u32, 0),
            (0x3000, 0x4000, SpanKind::Bare as u32, 0),
            (0x5000, 0x5100, SpanKind::Bare as u32, 0),
            (0x5100, 0x6000, SpanKind::Table as u32, 7),
            (0x6000, 0x7f00, SpanKind::Table as u32, 8),
            (0x7f00, 0x8000, SpanKind::Bare as u32, 0),
            (0x9000, 0xa000, SpanKind::Anonymous as u32, 0),
        ];
        assert_eq!(seen(&spans), expected);
        assert_eq!((spans[3].1.origin, spans[4].1.origin), (0x5100, 0x6000));
        assert_eq!((spans[3].1.root, spans[3].1.leaves), (5, 2));
        assert!(spans[2..6].iter().all(|(_, span)| (span.bias, span.module) == (0x4000, 1)));
        assert_eq!(spans[6].1.module, u32::MAX);
    }

    #[test]
    fn a_mapping_of_a_part_keeps_the_tables_origin() {
        let code = [span(0x6800, 0x7000, Some((1, 0x4000)))];
        let tables = HashMap::from([(ModuleId(1), tables(&[placed(7, 0x1000, 0x9000)]))]);
        let spans = code_spans(&code, &tables);
        assert_eq!(seen(&spans), [(0x6800, 0x7000, SpanKind::Table as u32, 7)]);
        assert_eq!(spans[0].1.origin, 0x5000);
    }
}
